//! Recordings of facts: written with `--record`, judged again with `--replay`, and some of them built in as demos.

use std::{collections::BTreeMap, fs, path::Path};

use caddy_doctor_checks::model::{Facts, facts::SCHEMA};
use serde_json::value::RawValue;

use crate::{error::Error, probe::redact};

/// Reads a recording.
pub(crate) fn read(path: &Path) -> Result<Facts, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::ReplayUnreadable { path: path.to_owned(), source })?;
    let not_one = |why: String| Error::NotARecording { path: path.to_owned(), why };
    // The number first, since a newer form need not be one that can be read.
    let form = match serde_json::from_str::<BTreeMap<String, &RawValue>>(&text) {
        Err(error) if !error.is_data() => return Err(not_one(redact::json_error(&error))),
        form => form.unwrap_or_default(),
    };
    match form.get("schema").and_then(|schema| schema.get().parse().ok()) {
        Some(found) if found > u64::from(SCHEMA) => return Err(Error::NewerRecording { path: path.to_owned(), found }),
        Some(_) => {}
        None => return Err(not_one("it has no schema number".to_owned())),
    }
    serde_json::from_str(&text).map_err(|error| not_one(redact::json_error(&error)))
}

/// Writes one.
pub(crate) fn write(path: &Path, facts: &Facts) -> Result<(), Error> {
    crate::write_file(path, text(facts).as_bytes())
}

/// What a recording holds.
pub(crate) fn text(facts: &Facts) -> String {
    let mut text = serde_json::to_string_pretty(facts).unwrap_or_default();
    text.push('\n');
    text
}

/// Recorded from real setups by the lab; the first is the one that is shown without a name.
const DEMOS: &[(&str, &str)] = &[
    ("two-networks", include_str!("../tests/setups/two-networks.json")),
    ("host-gateway-missing", include_str!("../tests/setups/host-gateway-missing.json")),
    ("port-held", include_str!("../tests/setups/port-held-by-container.json")),
    ("mitmproxy-stopped", include_str!("../tests/setups/mitmproxy-stopped.json")),
    ("host-rewritten", include_str!("../tests/setups/host-rewritten.json")),
    ("healthy", include_str!("../tests/setups/healthy-one-bridge.json")),
];

/// The facts of a demo.
pub(crate) fn demo(name: Option<&str>) -> Result<Facts, Error> {
    let found = match name {
        Some(name) => DEMOS.iter().find(|(own, _)| *own == name),
        None => DEMOS.first(),
    };
    let Some((name, text)) = found else {
        let known: Vec<&str> = DEMOS.iter().map(|(name, _)| *name).collect();
        return Err(Error::NoSuchDemo { name: name.unwrap_or_default().to_owned(), known: known.join(", ") });
    };
    serde_json::from_str(text).map_err(|error| Error::NotARecording { path: name.into(), why: error.to_string() })
}

/// The names of the demos.
pub(crate) fn demos() -> String {
    DEMOS.iter().map(|(name, _)| format!("{name}\n")).collect()
}
