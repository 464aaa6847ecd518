//! The golden table: the edges of the contract, one case per line, in `tests/golden/*.tsv`.
//!
//! Six columns are separated by tabs. Empty lines and lines that start with `#` are comments.
//!
//! | column | content |
//! |---|---|
//! | name | what the case shows; unique over all files |
//! | on | the reference date `2025-06-15`, or the timestamp of the record `@1735664400000` |
//! | settings | `-`, or pairs such as `min_age=17 absent=null`; [`read`] has all keys |
//! | request | the bytes of the request, in the notation below |
//! | outcome kind | `limited`, `full` or `explain` for a result, else the reason of the failure |
//! | outcome | the published bytes, in the same notation |
//!
//! Bytes are written as UTF-8 text, except:
//!
//! | notation | meaning |
//! |---|---|
//! | `<0A>` | the byte 0x0A; `<3C>` is `<` itself |
//! | `<times 3\|ab>` | `ababab` |
//! | `<each 8..10\|x#>` | `x8,x9,x10` |
//! | `<null>` alone | no value |
//! | `<empty>` alone | a value of 0 bytes |

use crate::reference::regions::Retired;
use crate::reference::request::Process;
use crate::reference::{Answer, Settings};
use chrono::{DateTime, FixedOffset, NaiveDate};
use serde_json::{Map, Value, json};

/// The reference date of a case.
#[derive(Clone, Copy, Debug)]
pub enum On {
    Day(NaiveDate),
    /// The timestamp of a record, in milliseconds since 1970-01-01 00:00 UTC.
    Timestamp(i64),
}

impl On {
    /// The day in Jakarta.
    pub fn day(self) -> NaiveDate {
        match self {
            Self::Day(day) => day,
            Self::Timestamp(milliseconds) => {
                let jakarta = FixedOffset::east_opt(7 * 60 * 60).expect("an offset");
                let instant = DateTime::from_timestamp_millis(milliseconds).expect("a time");
                instant.with_timezone(&jakarta).date_naive()
            }
        }
    }
}

/// One line of the table.
pub struct Case {
    pub file: &'static str,
    pub line: usize,
    pub name: &'static str,
    pub on: On,
    pub settings_text: &'static str,
    pub settings: Settings,
    pub retired: Retired,
    pub request: Option<Vec<u8>>,
    /// `limited`, `full`, `explain` or the reason.
    pub kind: &'static str,
    /// `None` for `?`.
    pub outcome: Option<Vec<u8>>,
    /// The first four columns, verbatim.
    pub question: String,
}

const FILES: [(&str, &str); 9] = [
    ("request.tsv", include_str!("request.tsv")),
    ("json.tsv", include_str!("json.tsv")),
    ("number.tsv", include_str!("number.tsv")),
    ("area.tsv", include_str!("area.tsv")),
    ("birth_date.tsv", include_str!("birth_date.tsv")),
    ("gender_and_serial.tsv", include_str!("gender_and_serial.tsv")),
    ("privacy.tsv", include_str!("privacy.tsv")),
    ("explain.tsv", include_str!("explain.tsv")),
    ("claims.tsv", include_str!("claims.tsv")),
];

pub fn cases() -> Vec<Case> {
    FILES.into_iter().flat_map(|(file, text)| cases_of(file, text)).collect()
}

fn cases_of(file: &'static str, text: &'static str) -> impl Iterator<Item = Case> {
    text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).map(
        move |(index, line)| {
            let line_number = index + 1;
            read(file, line_number, line)
                .unwrap_or_else(|problem| panic!("{file}, line {line_number}: {problem}"))
        },
    )
}

fn read(file: &'static str, line: usize, text: &'static str) -> Result<Case, String> {
    let columns: Vec<&'static str> = text.split('\t').collect();
    let [name, on, settings_text, request, kind, outcome] = columns[..] else {
        return Err(format!("expected six columns, found {}", columns.len()));
    };
    let on = match on.strip_prefix('@') {
        Some(timestamp) => On::Timestamp(timestamp.parse().map_err(|_| "not a timestamp")?),
        None => On::Day(on.parse().map_err(|_| "not a date")?),
    };
    let mut settings = Settings::default();
    let mut retired = Retired::All;
    for pair in settings_text.split(' ').filter(|pair| *pair != "-") {
        let (key, value) = pair.split_once('=').ok_or("not a setting")?;
        let number = || value.parse::<usize>().map_err(|_| format!("not a number: {value}"));
        match (key, value) {
            ("niks", _) => settings.niks_per_request = number()?,
            ("request_bytes", _) => settings.request_bytes = number()?,
            ("result_bytes", _) => settings.result_bytes = number()?,
            ("min_age", _) => {
                settings.min_age = u8::try_from(number()?).map_err(|_| "an age above 255")?;
            }
            ("absent", "null") => settings.absent_null = true,
            ("outcomes", "tokens") => settings.tokens = true,
            ("failures", "reference") => settings.failures_by_reference = true,
            ("retired", "confirmed") => retired = Retired::Confirmed,
            ("retired", "none") => retired = Retired::None,
            _ => return Err(format!("unknown setting: {pair}")),
        }
    }
    Ok(Case {
        file,
        line,
        name,
        on,
        settings_text,
        settings,
        retired,
        request: if request == "<null>" { None } else { Some(bytes(request)?) },
        kind,
        outcome: if outcome == "?" { None } else { Some(bytes(outcome)?) },
        question: columns[..4].join("\t"),
    })
}

/// The settings of a case that are not the defaults, by their names in the settings file.
pub fn settings_of(case: &Case) -> Value {
    let mut settings = Map::new();
    for pair in case.settings_text.split(' ').filter(|pair| *pair != "-") {
        let (key, value) = pair.split_once('=').expect("a setting");
        let number = value.parse::<usize>().ok();
        let name = match key {
            "niks" => "limits.niks_per_request",
            "request_bytes" => "limits.request_bytes",
            "result_bytes" => "limits.result_bytes",
            "min_age" => "rules.min_age",
            "absent" => "rules.absent",
            "outcomes" => "privacy.outcomes",
            "failures" => "privacy.failures",
            _ => "rules.retired_codes",
        };
        settings.insert(name.to_owned(), number.map_or_else(|| json!(value), |it| json!(it)));
    }
    Value::Object(settings)
}

/// Parses the notation.
fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    if text == "<empty>" {
        return Ok(out);
    }
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('<') {
        out.extend_from_slice(plain.as_bytes());
        let (inside, after) = after.split_once('>').ok_or("a `<` without its `>`")?;
        rest = after;
        if let Some((count, text)) =
            inside.strip_prefix("times ").and_then(|inside| inside.split_once('|'))
        {
            out.extend(text.repeat(count.parse().map_err(|_| "not a count")?).as_bytes());
        } else if let Some((range, text)) =
            inside.strip_prefix("each ").and_then(|inside| inside.split_once('|'))
        {
            let (first, last) = range.split_once("..").ok_or("not a range")?;
            let number = |text: &str| text.parse::<u64>().map_err(|_| "not a number");
            let texts = (number(first)?..=number(last)?).map(|n| text.replace('#', &n.to_string()));
            out.extend(texts.collect::<Vec<_>>().join(",").as_bytes());
        } else {
            let hexadecimal = Some(inside).filter(|digits| digits.len() == 2);
            out.push(
                hexadecimal
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok())
                    .ok_or("not a byte")?,
            );
        }
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

/// The fifth column for an answer.
pub fn kind(answer: &Answer) -> &'static str {
    match answer.kind {
        Ok((Process::Limited, _)) => "limited",
        Ok((Process::Full, _)) => "full",
        Ok((Process::Explain, _)) => "explain",
        Err((reason, _)) => reason.as_str(),
    }
}

/// Writes bytes in the notation: printable text verbatim, any other byte as `<..>`.
pub fn shown(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || character == '<' {
                let mut buffer = [0; 4];
                out.extend(
                    character.encode_utf8(&mut buffer).bytes().map(|byte| format!("<{byte:02X}>")),
                );
            } else {
                out.push(character);
            }
        }
        out.extend(chunk.invalid().iter().map(|byte| format!("<{byte:02X}>")));
    }
    out
}
