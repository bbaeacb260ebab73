//! What the checks say of themselves: `doctor explain` and `doctor list`.

use caddy_doctor_checks::{ALL, model::Check};

use crate::cli::ListFormat;

/// The page of one check, or a line for every one.
pub(crate) fn explain(id: Option<&str>) -> String {
    match id.and_then(caddy_doctor_checks::find) {
        Some(check) => {
            let after = match check.after {
                [] => "nothing".to_owned(),
                after => after.join(", "),
            };
            format!("{}\n\n{}\nIts findings can be explained by: {after}.\n", check.id, check.page().trim_start())
        }
        None => format!(
            "{}\ndoctor explain ID tells what a check looks at, why it matters and how to fix it\n",
            list(ListFormat::Text)
        ),
    }
}

pub(crate) fn list(format: ListFormat) -> String {
    match format {
        ListFormat::Text => {
            let width = ALL.iter().map(|check| check.id.len()).max().unwrap_or(0);
            ALL.iter().map(|check| format!("{:width$}  {}\n", check.id, check.title())).collect()
        }
        ListFormat::Json => {
            let entry = |check: &&Check| {
                serde_json::json!({
                    "id": check.id,
                    "title": check.title(),
                    "group": check.group,
                    "after": check.after,
                    "explanation": check.page(),
                })
            };
            format!("{:#}\n", serde_json::Value::Array(ALL.iter().map(entry).collect()))
        }
    }
}
