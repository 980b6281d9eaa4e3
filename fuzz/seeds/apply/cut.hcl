namespace "acme" {
  policy "x" { rules = <<EOT
path