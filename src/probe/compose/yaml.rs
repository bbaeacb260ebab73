//! YAML as the value that JSON would be: anchors, aliases and merge keys resolved, up to a cap.

use std::collections::HashMap;

use serde_json::{Map, Value};
use yaml_rust2::{Event, Yaml, parser::Parser, scanner::TScalarStyle};

/// No compose file is nested so deeply.
const DEEPEST: usize = 100;
/// An alias stands for all that its anchor holds, so a small file may mean a huge one.
const MOST_VALUES: usize = 100_000;

/// A list or a mapping that is not complete yet.
enum Open {
    List { anchor: usize, values: Vec<Value> },
    Mapping { anchor: usize, values: Map<String, Value>, merged: Vec<Value>, key: Option<String> },
}

/// Reads the first document.
///
/// # Errors
/// Why it is none, with the line.
pub(super) fn read(text: &str) -> Result<Value, String> {
    let mut parser = Parser::new_from_str(text);
    let (mut open, mut anchors): (Vec<Open>, HashMap<usize, Value>) = (Vec::new(), HashMap::new());
    let mut budget = MOST_VALUES;
    loop {
        let (event, at) = parser.next_token().map_err(|error| error.to_string())?;
        let (mut anchor, mut value) = match event {
            Event::SequenceStart(anchor, _) => {
                open.push(Open::List { anchor, values: Vec::new() });
                if open.len() > DEEPEST {
                    return Err(format!("line {}: nested more than {DEEPEST} deep", at.line()));
                }
                continue;
            }
            Event::MappingStart(anchor, _) => {
                open.push(Open::Mapping { anchor, values: Map::new(), merged: Vec::new(), key: None });
                if open.len() > DEEPEST {
                    return Err(format!("line {}: nested more than {DEEPEST} deep", at.line()));
                }
                continue;
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == TScalarStyle::Plain && tag.is_none();
                (anchor, if plain { scalar(text) } else { Value::String(text) })
            }
            Event::Alias(anchor) => match anchors.get(&anchor) {
                Some(value) => {
                    budget = budget.saturating_sub(count(value));
                    (0, value.clone())
                }
                None => return Err(format!("line {}: an alias for something that is not complete", at.line())),
            },
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List { anchor, values }) => (anchor, Value::Array(values)),
                Some(Open::Mapping { anchor, mut values, merged, .. }) => {
                    // What the mapping says itself goes first, then the first that is merged in.
                    let of_list = |value| match value {
                        Value::Array(list) => list,
                        value => vec![value],
                    };
                    for own in merged.into_iter().flat_map(of_list) {
                        let Value::Object(own) = own else { continue };
                        for (key, value) in own {
                            values.entry(key).or_insert(value);
                        }
                    }
                    (anchor, Value::Object(values))
                }
                None => return Err("it ends before it begins".to_owned()),
            },
            Event::StreamEnd => return Ok(Value::Null),
            _ => continue,
        };
        budget = budget.saturating_sub(1);
        if budget == 0 {
            return Err(format!("it stands for more than {MOST_VALUES} values"));
        }
        if anchor > 0 {
            anchors.insert(std::mem::take(&mut anchor), value.clone());
        }
        match open.last_mut() {
            None => return Ok(value),
            Some(Open::List { values, .. }) => values.push(value),
            Some(Open::Mapping { values, merged, key, .. }) => match key.take() {
                Some(key) if key == "<<" => merged.push(std::mem::take(&mut value)),
                Some(key) => _ = values.insert(key, value),
                None => *key = Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
            },
        }
    }
}

/// A scalar without quotes.
fn scalar(text: String) -> Value {
    match Yaml::from_str(&text) {
        Yaml::Null => Value::Null,
        Yaml::Boolean(value) => value.into(),
        Yaml::Integer(value) => value.into(),
        _ => Value::String(text),
    }
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(count).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(count).sum::<usize>(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn anchors_and_merge_keys_are_resolved() {
        let text = "x: &x {a: 1, b: [2, '3']}\ny: {<<: *x, a: true}\nz: *x\n8080: ~\ntext: 0.0.0.0:80\n";
        let expected = json!({
            "x": {"a": 1, "b": [2, "3"]}, "y": {"a": true, "b": [2, "3"]}, "z": {"a": 1, "b": [2, "3"]},
            "8080": null, "text": "0.0.0.0:80",
        });
        assert_eq!(read(text), Ok(expected));
    }

    #[test]
    fn what_is_no_yaml_or_too_much_is_refused() {
        assert!(read("a: [").unwrap_err().contains("line"));
        assert!(read(&"- ".repeat(50_000)).unwrap_err().contains("nested"));
        let bomb: String = (0..9)
            .map(|n| match n {
                0 => "a0: &a0 [1,1,1,1,1,1,1,1,1]\n".to_owned(),
                n => format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(",")),
            })
            .collect();
        assert!(read(&bomb).unwrap_err().contains("values"));
        assert_eq!(read(""), Ok(Value::Null));
    }
}
