use super::*;

fn of(variables: &[(&str, &str)]) -> (Option<Settings>, Vec<String>) {
    settings(&|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
}

const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");

#[test]
fn nothing_is_sent_unless_a_collector_is_named() {
    for variables in [
        &[][..],
        &[("OTEL_SERVICE_NAME", "s")],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")],
        &[ENDPOINT, ("OTEL_SDK_DISABLED", "true")],
        &[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")],
    ] {
        let (settings, warnings) = of(variables);
        assert!(settings.is_none() && warnings.is_empty(), "{variables:?}: {warnings:?}");
    }
    for variables in [&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "zipkin")][..], &[ENDPOINT, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]] {
        let (settings, warnings) = of(variables);
        assert!(settings.is_none() && warnings.len() == 1, "{variables:?}: {warnings:?}");
    }
}

#[test]
fn an_endpoint_of_traces_is_taken_as_it_is_and_a_common_one_gets_its_path() {
    let endpoint = |variables: &[(&str, &str)]| of(variables).0.unwrap().endpoint;
    let of_traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://t.example/in");
    assert_eq!(endpoint(&[ENDPOINT]), "http://collector:4318/v1/traces");
    assert_eq!(endpoint(&[ENDPOINT, of_traces]), "https://t.example/in");
    assert_eq!(endpoint(&[("OTEL_TRACES_EXPORTER", "otlp")]), "http://localhost:4318/v1/traces");
}

#[test]
fn headers_resource_and_sampler_are_read_and_what_is_wrong_is_told_without_its_value() {
    let (settings, warnings) = of(&[
        ENDPOINT,
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=1"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "api-key=k%3D1, x = y "),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test,service.name=by-list,service.version=9"),
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
    ]);
    let settings = settings.unwrap();
    let headers: Vec<_> = settings.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!((headers, warnings), (vec![("api-key", "k=1"), ("x", "y")], Vec::new()));
    assert_eq!(Some(settings.sampler), Sampler::named("traceidratio", Some("0.25")));
    assert_eq!(settings.certificate, Some(PathBuf::from("/ca.pem")));
    let shown = |name: &str| -> Vec<&str> {
        settings.resource.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    };
    assert_eq!(shown("service.name"), ["by-list"]);
    assert_eq!(shown("service.version"), [env!("CARGO_PKG_VERSION")]);
    assert_eq!(shown("deployment.environment"), ["test"]);

    let (settings, warnings) = of(&[
        ENDPOINT,
        ("OTEL_EXPORTER_OTLP_HEADERS", "canary-secret"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_TRACES_SAMPLER", "canary-sampler"),
        ("OTEL_SERVICE_NAME", "other"),
    ]);
    let settings = settings.unwrap();
    assert!(settings.headers.is_empty() && settings.sampler == Sampler::default());
    assert!(settings.resource.contains(&("service.name".to_owned(), "other".to_owned())));
    assert!(warnings.len() == 3 && !warnings.concat().contains("canary"), "{warnings:?}");
}

#[test]
fn more_pairs_than_there_may_be_are_left_out() {
    let many = |count: usize| (0..count).map(|number| format!("n{number}=v")).collect::<Vec<_>>().join(",");
    for (count, told) in [(PAIRS_MAX, 0), (PAIRS_MAX + 1, 1)] {
        let (settings, warnings) = of(&[ENDPOINT, ("OTEL_EXPORTER_OTLP_HEADERS", &many(count))]);
        assert_eq!((settings.unwrap().headers.len(), warnings.len()), (PAIRS_MAX, told));
    }
}
