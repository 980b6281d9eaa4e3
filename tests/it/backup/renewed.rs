//! A namespace's key that was renewed while a backup was made: after the backup had the namespace, and before it had the parent.

use serde_json::json;

use super::stage::{self, Target};
use crate::rotation::{read, status};
use crate::support::fixture::{mount, namespace, put};

/// All that a backup takes of a namespace.
const TABLES: [&str; 6] = ["tenant", "tenant_keyring", "tenant_key", "record", "log", "checkpoint"];

#[test]
fn a_key_that_was_renewed_while_a_backup_was_made_is_bound_again() {
    let (mut server, root, key) = stage::with_values("");
    let team = namespace(&root, "team");
    mount(&team, "secret");
    put(&team, "a", &json!({"k": "v"}));
    let of_team = "tenant_id IN (SELECT tenant_id FROM tenant WHERE parent IS NOT NULL)";
    let copy = TABLES.map(|table| format!("CREATE TABLE old_{table} AS SELECT * FROM {table} WHERE {of_team};"));
    server.tables().run(&copy.concat());
    team.call("POST", "sys/rotate/root", None).expect(204);
    server.kill();
    // The namespace is what it was, and its parent says more: this is what a backup has that met them at two moments.
    let put_back = TABLES.map(|table| {
        format!(
            "DELETE FROM {table} WHERE tenant_id IN (SELECT tenant_id FROM old_tenant); INSERT INTO {table} SELECT * FROM old_{table};"
        )
    });
    server
        .tables()
        .run(&format!("DROP TRIGGER log_deleted_with_tenant; DROP TRIGGER checkpoint_never_deleted; {}", put_back.concat()));
    server.come_back();
    let file = stage::create(&server, &root);

    let (_restored, root) = stage::restored(&Target::sqlite(), &server, &file, &key);
    let team = root.in_namespace("team");
    assert_eq!(read(&team, "a"), json!({"k": "v"}));
    assert_eq!(status(&team)["tenant_key"], 1);
    team.call("POST", "sys/rotate/root", None).expect(204);
    assert_eq!(status(&team)["tenant_key"], 2);
    let events = root.call("GET", "sys/audit-log?text=renewed%20while%20the%20backup&limit=10", None).expect(200).json();
    assert_eq!(events["data"]["events"].as_array().unwrap().len(), 1, "{events}");
}
