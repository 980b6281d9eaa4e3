# A tenant, for `strongroom apply deploy/tenant.hcl`. Run it again after every change: only what differs is written.

namespace "acme" {
  custom_metadata = {
    owner = "crm-team@example.com"
    tier  = "gold"
  }

  # Connector secrets, and how many versions of each are kept.
  mount "connectors" {
    type        = "kv-v2"
    description = "Secrets of the connectors"
    config {
      default_lease_ttl = "1h"
      max_lease_ttl     = "24h"
    }
  }
  object "connectors/config" {
    max_versions = 20
    cas_required = true
  }

  policy "connector-reader" {
    rules = <<-EOT
      # Application services read what connectors need, and resolve references to it.
      path "connectors/data/*"        { capabilities = ["read"] }
      path "sys/references/resolve"   { capabilities = ["update"] }
    EOT
  }

  # What callers name their requests by is in the tenant's audit log.
  audited_header "x-correlation-id" {
    hmac = false
  }

  # A tenant of its own inside: own keys, own mounts, own policies.
  namespace "team-a" {
    mount "secret" {
      type = "kv-v2"
    }
    policy "writer" {
      rules = <<-EOT
        path "secret/data/*"     { capabilities = ["create", "update", "read"] }
        path "secret/metadata/*" { capabilities = ["read", "list"] }
      EOT
    }
  }
}
