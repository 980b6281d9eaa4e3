max_request_size = -1
keyring_refresh = "0s"
log_level = <<E
x
E
