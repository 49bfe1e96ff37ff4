//! Two runs at the same time must have the same verdicts, although one of them has misleading environment variables.

use super::bench::{Ended, Project, Run, lists, no_engine, reserve};

/// Variables that a caller's shell may have. No probe may use these variables.
const RUBBISH: [(&str, &str); 12] = [
    ("AWS_ACCESS_KEY_ID", "rubbish"),
    ("AWS_SECRET_ACCESS_KEY", "rubbish"),
    ("AWS_REGION", "nowhere-1"),
    ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
    ("AWS_CA_BUNDLE", "/nonexistent/ca.pem"),
    ("AWS_PROFILE", "rubbish"),
    ("SSL_CERT_FILE", "/nonexistent/ca.pem"),
    ("SSL_CERT_DIR", "/nonexistent"),
    ("HTTPS_PROXY", "http://127.0.0.1:1"),
    ("HTTP_PROXY", "http://127.0.0.1:1"),
    ("NO_PROXY", "rubbish"),
    ("KUBECONFIG", "/nonexistent/config"),
];

/// Returns the verdict and the cause of every step. Details that differ between runs are left out.
fn verdicts(ended: &Ended) -> Vec<String> {
    let mut verdicts: Vec<String> = ended
        .steps()
        .map(|it| {
            let cause = it.cause.as_ref().map(ToString::to_string).unwrap_or_default();
            let kind = cause.split(" (").next().unwrap_or_default().to_owned();
            format!("{} {}: {:?} {kind}", it.variant, it.step, it.verdict)
        })
        .collect();
    verdicts.sort();
    verdicts
}

#[test]
fn two_runs_at_once_pass_and_the_callers_environment_changes_nothing() {
    if no_engine() {
        return;
    }
    let _reserved = reserve(2);
    let project = Project::presigned_url();
    let before = lists(&[]);
    let variants = ["presign/presigned-url+client-without-the-ca", "presign/presigned-url+host-rewritten"];
    let plain = project.e2e(&variants);
    let mut command = project.parallax(&["e2e"]);
    command.args(variants).envs(RUBBISH);
    command.envs(
        RUBBISH.iter().filter(|(name, _)| name.ends_with("PROXY")).map(|(name, value)| (name.to_lowercase(), value)),
    );
    let rubbish = Run::start(command, &project);
    let ids = [plain.id.clone(), rubbish.id.clone()];
    let (plain, rubbish) = (plain.end(), rubbish.end());
    plain.assert_code(0);
    rubbish.assert_code(0);
    assert!(
        variants.iter().all(|variant| plain.steps().any(|it| it.variant.as_str() == *variant)),
        "a flow is missing"
    );
    assert_eq!(verdicts(&plain), verdicts(&rubbish));
    assert_eq!(lists(&[&ids[0], &ids[1]]), before);
}
