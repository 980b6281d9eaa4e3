//! What `deploy/` has is what systemd, Docker's linter, Helm and Kubernetes take, and what the server starts with.

mod chart;
mod running;

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::process::run;
use crate::support::tools;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(file(name)).unwrap()
}

#[test]
fn systemd_takes_the_unit_and_finds_little_to_fear() {
    // It looks whether the program is there.
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("strongroom.service");
    let program = tools::strongroom();
    fs::write(&unit, text("deploy/strongroom.service").replace("/usr/local/bin/strongroom", program.to_str().unwrap())).unwrap();
    let analyze = |arguments: &[&str]| {
        let arguments = [arguments, &[unit.to_str().unwrap()]].concat();
        run(Path::new("/usr/bin/systemd-analyze"), &arguments, &[], None)
    };
    let verified = analyze(&["verify", "--man=no"]);
    assert_eq!((verified.code, verified.stderr.as_str()), (0, ""), "{}", verified.stdout);
    // 0 is best, 10 worst; what is left are the network and the files of the machine.
    let judged = analyze(&["security", "--offline=yes", "--threshold=16", "--no-pager"]);
    assert_eq!(judged.code, 0, "{}{}", judged.stdout, judged.stderr);

    let unit = text("deploy/strongroom.service");
    for line in ["Type=notify", "CapabilityBoundingSet=", "AmbientCapabilities=", "NoNewPrivileges=yes", "LimitMEMLOCK=infinity"]
    {
        assert!(unit.lines().any(|other| other == line), "no {line}");
    }
}

#[test]
fn the_images_are_without_root_and_of_fixed_versions() {
    let linted = run(&tools::hadolint(), &[file("deploy/Dockerfile").to_str().unwrap()], &[], None);
    assert_eq!(linted.code, 0, "{}{}", linted.stdout, linted.stderr);

    let dockerfile = text("deploy/Dockerfile");
    let stages: Vec<&str> = dockerfile.split("\nFROM ").skip(1).collect();
    let shipped: Vec<&&str> = stages.iter().filter(|stage| stage.starts_with("${BASE_IMAGE}")).collect();
    assert_eq!(shipped.len(), 2);
    for stage in shipped {
        assert!(stage.contains("\nUSER 65532:65532\n") && !stage.contains("\nRUN "), "{stage}");
    }
    assert!(dockerfile.contains("cargo build --locked --release"));

    // The compiler is one that the crate says it builds with.
    let between = |text: &str, from: &str, to: &str| text.split(from).nth(1).unwrap().split(to).next().unwrap().to_owned();
    let numbers = |version: &str| version.split('.').take(2).map(|part| part.parse::<u32>().unwrap()).collect::<Vec<_>>();
    let least = between(&text("Cargo.toml"), "rust-version = \"", "\"");
    let used = between(&dockerfile, "RUST_IMAGE=docker.io/library/rust:", "-slim");
    assert!(numbers(&used) >= numbers(&least), "{used} is older than {least}");
}
