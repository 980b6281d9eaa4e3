use super::*;

#[test]
fn all_metrics_are_shown_with_their_meaning_and_what_was_counted() {
    answered(204, Duration::from_millis(3));
    answered(429, Duration::from_micros(30));
    let usage = Usage { resident_bytes: Some(4096), files: None, processor: Some(Duration::from_millis(1500)) };
    let text = render(&Now { unsealed: true, in_flight: 2, tenants: 7, usage }).unwrap();
    for line in [
        "vault_core_unsealed 1",
        "vault_core_in_flight_requests 2",
        "strongroom_tenants_loaded 7",
        "process_resident_memory_bytes 4096",
        "process_cpu_seconds_total 1.5",
        "# TYPE vault_core_handle_request histogram",
        "# HELP strongroom_reruns_total Requests decided again because what they had read was changed meanwhile.",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
    }
    let count = |line: &str| -> u64 {
        let found = text.lines().find_map(|shown| shown.strip_prefix(line));
        found.and_then(|rest| rest.trim().parse().ok()).unwrap_or_else(|| panic!("{line} is not in\n{text}"))
    };
    assert!(count("strongroom_answers_total{class=\"2xx\"}") >= 1 && count("strongroom_answers_total{class=\"429\"}") >= 1);
    assert!(count("strongroom_request_duration_seconds_bucket{le=\"0.005\"}") >= 1);
}
