/// The secret that a reference stands for; `None` when it is not for this worker (revoked, expired, another's).
fn resolve(
    agent: &ureq::Agent,
    server: &str,
    token: &str,
    reference: &str,
    purpose: &str,
) -> Result<Option<serde_json::Value>, Box<dyn std::error::Error>> {
    let body = serde_json::json!({"references": [{"reference": reference, "purpose": purpose}]});
    let request = agent.post(format!("{server}/v1/sys/references/resolve")).header("X-Vault-Token", token);
    let mut answer = request.send(body.to_string())?;
    let answer: serde_json::Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
    let result = &answer["data"]["results"][0];
    Ok((result["status"] == 200).then(|| result["data"]["data"].clone()))
}
