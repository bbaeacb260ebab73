//! What the checks say of themselves: `doctor explain` and `doctor list`.

use caddy_doctor_checks::model::Check;

use crate::{
    cli::{self, ListFormat},
    error::Error,
    own::{Own, all},
};

/// The page of one check, or a line for every one.
///
/// # Errors
/// There is no such check.
pub(crate) fn explain(id: Option<&str>, own: &[Own]) -> Result<String, Error> {
    Ok(match id {
        Some(id) => {
            let check = cli::check_of(id, own).map_err(Error::NoSuchCheck)?;
            let after = match check.after {
                [] => "nothing".to_owned(),
                after => after.join(", "),
            };
            format!("{}\n\n{}\nIts findings can be explained by: {after}.\n", check.id, check.page().trim_start())
        }
        None => format!(
            "{}\ndoctor explain ID tells what a check looks at, why it matters and how to fix it\n",
            list(ListFormat::Text, own)
        ),
    })
}

pub(crate) fn list(format: ListFormat, own: &[Own]) -> String {
    match format {
        ListFormat::Text => {
            let width = all(own).map(|check| check.id.len()).max().unwrap_or(0);
            all(own).map(|check| format!("{:width$}  {}\n", check.id, check.title())).collect()
        }
        ListFormat::Json => {
            let entry = |check: &Check| {
                serde_json::json!({
                    "id": check.id,
                    "title": check.title(),
                    "group": check.group,
                    "after": check.after,
                    "explanation": check.page(),
                })
            };
            format!("{:#}\n", serde_json::Value::Array(all(own).map(entry).collect()))
        }
    }
}
