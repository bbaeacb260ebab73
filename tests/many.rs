//! Configs with very many routes: what the report says of them, and how much memory it takes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fakes;

use std::{fs, path::Path};

use fakes::{Doctor, Folder};
use serde_json::{Value, json};

/// A recorded healthy setup, with other routes.
fn with_routes(folder: &Folder, routes: &[Value]) -> Doctor {
    let healthy = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/setups/healthy-one-bridge.json");
    let mut facts: Value = serde_json::from_slice(&fs::read(healthy).unwrap()).unwrap();
    facts["caddies"]["Ok"][0]["config"]["Ok"]["apps"]["http"]["servers"]["srv0"]["routes"] = json!(routes);
    let file = folder.file("facts.json", facts.to_string());
    Doctor::new().args(["--replay".into(), file.into_os_string()])
}

fn route(n: usize, dial: &str) -> Value {
    let proxy = json!({"handler": "reverse_proxy", "upstreams": [{"dial": dial}]});
    json!({"match": [{"host": [format!("site{n}.example.com")]}], "handle": [proxy], "terminal": true})
}

#[test]
fn of_very_many_findings_the_first_are_told_and_the_rest_is_counted() {
    let folder = Folder::new();
    let routes: Vec<Value> = (0..60).map(|n| route(n, &format!("http://mitmproxy:{}", 8080 + n))).collect();
    let report = with_routes(&folder, &routes).report();
    let row = report.check("caddy-dial");
    assert!(row["summary"].as_str().unwrap().ends_with("; and 59 more"), "{report}");
    assert_eq!(row["findings"].as_array().unwrap().len(), 50);
    let told = json!({"label": "more findings", "value": "10 like these, not told one by one"});
    assert!(row["evidence"].as_array().unwrap().contains(&told), "{row:#}");
}
