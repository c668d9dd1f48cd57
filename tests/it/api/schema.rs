//! The API against its own document, by somebody else's program: no 5xx, no undocumented answer.

use std::process::Command;

use serde_json::json;

use crate::support::{Api, Installation};

/// One key for everything, everywhere.
const KEYS: &str = r#"
[[auth.keys]]
name = "all"
sha256 = "{sha256}"
scopes = ["admin", "check", "ingest", "read"]
workspace = "*"
"#;
const TOKEN: &str = "a token for a test";

fn fetched() -> String {
    let stack = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/local/stack");
    let output = Command::new(stack).arg("schemathesis").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().lines().last().unwrap().to_owned()
}

#[tokio::test]
async fn nothing_is_answered_that_the_document_does_not_say() {
    use sha2::{Digest, Sha256};
    let digest: String = Sha256::digest(TOKEN).iter().map(|byte| format!("{byte:02x}")).collect();
    let installation = Installation::new("schema", &KEYS.replace("{sha256}", &digest)).await;
    let service = installation.serve().await;
    let api = Api::of(&installation).with_token(TOKEN);
    // Something is there for those of the calls that name it.
    api.write("PUT", "/v1/workspaces/acme/plan", json!({"monthly_credits": 1000})).await;
    api.write("PATCH", "/v1/workspaces/acme/users/ann", json!({"limit": 10, "team": "t"})).await;
    let hold = json!({"user": "ann", "feature": "ai_chat", "credits": 1, "id": "h1"});
    api.write("POST", "/v1/workspaces/acme/holds", hold).await;

    let examples = std::env::var("TOLLGATE_SCHEMA_EXAMPLES").unwrap_or_else(|_| "10".to_owned());
    let (program, address) = (fetched(), installation.settings.http.listen);
    let (examples, header) = (examples, format!("Authorization: Bearer {TOKEN}"));
    let run = tokio::task::spawn_blocking(move || {
        Command::new(program)
            .args(["run", &format!("http://{address}/openapi.json"), "-H", &header])
            .args(["--phases", "examples,coverage,fuzzing", "-n", &examples, "--seed", "1"])
            .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance"])
            .args(["--checks", "response_schema_conformance,response_headers_conformance"])
            .args(["--suppress-health-check", "all", "--continue-on-failure", "--no-color"])
            .output()
            .unwrap()
    });
    let output = run.await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    println!(
        "{}",
        told.lines().rev().take(25).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
    );
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(service.stop(), "{}", installation.log());
    installation.remove().await;
}
