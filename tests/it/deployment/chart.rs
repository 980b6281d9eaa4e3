//! The Helm chart, rendered by `helm` with its own values and with those in `ci/`.

use std::fs;

use serde_json::Value;
use strongroom::config::{self, Source, Storage};
use strongroom::secret::SecretText;

use super::{file, text};
use crate::support::process::{Finished, run};
use crate::support::tools;

const CHART: &str = "deploy/helm/strongroom";
/// Kinds that are not Kubernetes' own.
const FOREIGN: [&str; 3] = ["PrometheusRule", "ServiceMonitor", "TLSRoute"];

/// What is given beside the chart's own values.
fn variants() -> Vec<Vec<String>> {
    let files = ["standalone", "ha"].map(|name| vec!["-f".to_owned(), path(&format!("ci/{name}-values.yaml"))]);
    let ha = vec!["--set".to_owned(), "server.ha.enabled=true".to_owned()];
    [vec![], ha].into_iter().chain(files).collect()
}

fn path(name: &str) -> String {
    file(CHART).join(name).to_str().unwrap().to_owned()
}

fn helm(verb: &[&str], variant: &[String]) -> Finished {
    let home = tempfile::tempdir().unwrap();
    let arguments: Vec<&str> = verb.iter().copied().chain(variant.iter().map(String::as_str)).collect();
    run(&tools::helm(), &arguments, &[("HOME".to_owned(), home.path().to_str().unwrap().to_owned())], None)
}

#[track_caller]
fn template(variant: &[String], kubernetes: &str) -> String {
    let done = helm(&["template", "sr", &path(""), "--kube-version", kubernetes], variant);
    assert_eq!(done.code, 0, "{variant:?}\n{}", done.stderr);
    done.stdout
}

/// All objects that the chart makes.
#[track_caller]
pub(super) fn rendered(variant: &[String]) -> Vec<Value> {
    let script = "import json, sys, yaml; print(json.dumps([one for one in yaml.safe_load_all(sys.stdin) if one]))";
    let done = run(&tools::python(), &["-c", script], &[], Some(&template(variant, "1.34.0")));
    assert_eq!(done.code, 0, "{}", done.stderr);
    serde_json::from_str(&done.stdout).unwrap()
}

/// The one of a kind.
#[track_caller]
pub(super) fn only<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found: Vec<&Value> = objects.iter().filter(|object| object["kind"] == kind).collect();
    assert_eq!(found.len(), 1, "{kind}");
    found[0]
}

/// Files of the configuration.
pub(super) fn configuration(objects: &[Value]) -> Vec<(String, String)> {
    let config = objects.iter().find(|object| object["data"]["server.hcl"].is_string()).unwrap();
    let files = config["data"].as_object().unwrap().iter();
    files.map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned())).collect()
}

fn locks_memory(variant: &[String]) -> bool {
    variant.iter().any(|part| part.ends_with("/standalone-values.yaml"))
}

fn has_replicas(variant: &[String]) -> bool {
    variant.iter().any(|part| part == "server.ha.enabled=true" || part.ends_with("/ha-values.yaml"))
}

fn has(objects: &[Value], kind: &str) -> bool {
    objects.iter().any(|object| object["kind"] == kind)
}

#[test]
fn helm_takes_the_chart_and_its_values() {
    for variant in variants() {
        let done = helm(&["lint", "--strict", &path("")], &variant);
        assert_eq!(done.code, 0, "{variant:?}\n{}{}", done.stdout, done.stderr);
    }
    for (value, sign) in [
        ("server.replicas=3", "'replicas' not allowed"),
        ("server.standalone.conf=x", "'conf' not allowed"),
        ("server.logLevel=loud", "/server/logLevel"),
        ("server.tls.secretName=", "/server/tls/secretName"),
        ("server.image.digest=sha256:00", "/server/image/digest"),
        // What the charts of Vault and OpenBao have and this has not may be turned off only.
        ("injector.enabled=true", "/injector/enabled"),
        ("csi.enabled=true", "/csi/enabled"),
        ("ui.enabled=true", "/ui/enabled"),
        ("server.dev.enabled=true", "/server/dev/enabled"),
        ("server.ha.raft.enabled=true", "/server/ha/raft/enabled"),
        ("global.tlsDisable=true", "/global/tlsDisable"),
    ] {
        let done = helm(&["template", "sr", &path(""), "--set", value], &[]);
        assert!(done.code != 0 && done.stderr.contains(sign), "{value}: {}", done.stderr);
    }
    let off = "injector.enabled=false,csi.enabled=false,ui.enabled=false,server.dev.enabled=false,global.tlsDisable=false";
    assert_eq!(helm(&["template", "sr", &path(""), "--set", off], &[]).code, 0);
}

#[test]
fn kubernetes_takes_what_the_chart_makes() {
    let folder = tempfile::tempdir().unwrap();
    for kubernetes in ["1.29", "1.37"] {
        let mut files = Vec::new();
        for (number, variant) in variants().iter().enumerate() {
            let file = folder.path().join(format!("{number}.yaml"));
            fs::write(&file, template(variant, &format!("{kubernetes}.0"))).unwrap();
            files.push(file.to_str().unwrap().to_owned());
        }
        let arguments = ["--strict", "-k", kubernetes].into_iter().chain(files.iter().map(String::as_str)).collect::<Vec<_>>();
        let done = run(&tools::kubernetes_validate(), &arguments, &[], None);
        let output = done.stdout + &done.stderr;
        assert_eq!(done.code, 0, "{output}");
        assert_eq!(output.matches(" passed for resource deployment/").count(), 4, "{output}");
        for line in output.lines().filter(|line| !line.starts_with("INFO")) {
            assert!(FOREIGN.iter().any(|kind| line.contains(&format!("schema for kind {kind}"))), "{line}");
        }
    }
}

#[test]
fn containers_of_the_chart_may_do_nothing_they_need_not() {
    let mut containers = 0;
    for variant in variants() {
        let locks = locks_memory(&variant);
        let objects = rendered(&variant);
        for pod in objects.iter().map(|object| &object["spec"]["template"]["spec"]).filter(|pod| pod.is_object()) {
            let context = &pod["securityContext"];
            assert_eq!((&context["runAsNonRoot"], &context["runAsUser"]), (&true.into(), &65532.into()));
            assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault");
            assert_eq!(pod["automountServiceAccountToken"], false);
            for key in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"] {
                assert!(pod[key].is_null(), "{key}");
            }
            for container in pod["containers"].as_array().unwrap() {
                let (context, server) = (&container["securityContext"], container["name"] == "strongroom");
                assert_eq!(context["readOnlyRootFilesystem"], true);
                assert_eq!(context["privileged"], false);
                assert_eq!(context["capabilities"]["drop"], serde_json::json!(["ALL"]));
                let added = if locks && server { serde_json::json!(["IPC_LOCK"]) } else { Value::Null };
                assert_eq!(context["capabilities"]["add"], added);
                assert_eq!(context["allowPrivilegeEscalation"], locks && server);
                containers += 1;
            }
        }
        // Swap is only for containers that may have more memory than they ask for.
        let resources = &only(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["resources"];
        assert_eq!(resources["requests"]["memory"], resources["limits"]["memory"]);
    }
    assert_eq!(containers, 6);
}

#[test]
fn configurations_of_the_chart_are_ones_and_their_files_are_mounted() {
    for variant in variants() {
        let objects = rendered(&variant);
        let files = configuration(&objects);
        let sources: Vec<Source> =
            files.iter().map(|(name, text)| Source { file: name.into(), text: SecretText::new(text.clone()) }).collect();
        let container = &only(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
        let url = container["env"].as_array().unwrap().iter().find(|one| one["name"] == "BAO_PG_CONNECTION_URL");
        let config = config::parse(&sources, url.map(|_| SecretText::new("postgres://x".to_owned())))
            .unwrap_or_else(|error| panic!("{variant:?}: {error}"));
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        assert!(config.listeners.iter().all(|listener| listener.tls.is_some()));
        assert_eq!(matches!(config.storage, Storage::Postgres(_)), url.is_some());
        assert_eq!(config.disable_mlock, !locks_memory(&variant));

        let mounts: Vec<&str> =
            container["volumeMounts"].as_array().unwrap().iter().map(|mount| mount["mountPath"].as_str().unwrap()).collect();
        let settings = files.iter().flat_map(|(_, text)| text.lines()).filter(|line| !line.trim_start().starts_with('#'));
        let named: Vec<&str> =
            settings.flat_map(|line| line.split('"')).filter(|text| text.starts_with("/strongroom/")).collect();
        assert!(named.len() >= 3, "{named:?}");
        for name in named {
            assert!(mounts.iter().any(|mount| name.starts_with(&format!("{mount}/"))), "{name} is in none of {mounts:?}");
        }
    }
}

#[test]
fn the_owners_address_is_for_the_job_alone() {
    let owner = "strongroom-database-owner";
    for variant in variants() {
        let (objects, replicas) = (rendered(&variant), has_replicas(&variant));
        for object in &objects {
            assert_eq!(object.to_string().contains(owner), object["kind"] == "Job", "{}", object["kind"]);
        }
        assert_eq!([has(&objects, "Job"), has(&objects, "PodDisruptionBudget")], [replicas; 2]);
        assert_eq!(has(&objects, "PersistentVolumeClaim"), !replicas);
        let deployment = &only(&objects, "Deployment")["spec"];
        assert_eq!(deployment["strategy"]["type"], if replicas { "RollingUpdate" } else { "Recreate" });
        if replicas {
            let job = only(&objects, "Job");
            assert_eq!(job["metadata"]["annotations"]["helm.sh/hook"], "pre-install,pre-upgrade");
            // Nothing of the release is there yet when it runs, and no policy or Service takes it for a server.
            assert!(job["spec"]["template"]["spec"]["serviceAccountName"].is_null());
            assert_ne!(job["spec"]["template"]["metadata"]["labels"]["component"], "server");
        }
    }
}

#[test]
fn what_the_chart_watches_is_what_is_deployed_beside_it() {
    let objects = rendered(&variants()[3]);
    let script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))";
    let alerts = run(&tools::python(), &["-c", script], &[], Some(&text("deploy/prometheus-alerts.yaml")));
    let alerts: Value = serde_json::from_str(&alerts.stdout).unwrap();
    assert_eq!(only(&objects, "PrometheusRule")["spec"]["groups"], alerts["groups"]);
    let dashboard = objects.iter().find_map(|object| object["data"]["strongroom.json"].as_str()).unwrap();
    let beside: Value = serde_json::from_str(&text("deploy/grafana-dashboard.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(dashboard).unwrap(), beside);
    let endpoint = &only(&objects, "ServiceMonitor")["spec"]["endpoints"][0];
    assert_eq!((&endpoint["path"], &endpoint["params"]["format"][0]), (&"/v1/sys/metrics".into(), &"prometheus".into()));
}
