//! Strategies for requests, nearly valid and broken ones, and for reference dates.

use chrono::NaiveDate;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Area codes of every kind: current, retired with and without a name, unknown.
const AREAS: [&str; 10] = [
    "327301", "110101", "930101", "967110", "110404", "910101", "740308", "640401", "327399",
    "990101",
];

/// Characters that are easily handled wrongly.
const ODD: [char; 26] = [
    '0', '1', '9', 'A', '/', ':', ' ', '-', '+', '.', '"', '\\', '\u{0}', '\u{8}', '\u{1f}', '\n',
    '\t', '\u{7f}', 'é', '\u{301}', '１', '١', '€', '\u{2028}', '\u{feff}', '😀',
];

/// Bytes with a meaning in JSON or UTF-8.
const BYTES: &[u8] =
    b"\"\\{}[]:,0129-+.eEtfnu/ \t\n\r\x00\x1f\x7f\x80\xbf\xc0\xc3\xe2\xed\xf0\xf4\xff\xef\xbb";

/// Days around the end of a century, a year of age or a month, as birth dates and reference dates.
const BOUNDARIES: [(i32, u32, u32); 12] = [
    (1999, 12, 31),
    (2000, 1, 1),
    (2000, 2, 28),
    (2000, 2, 29),
    (2000, 3, 1),
    (2024, 2, 29),
    (2025, 2, 28),
    (2025, 3, 1),
    (2025, 6, 14),
    (2025, 6, 15),
    (2025, 6, 16),
    (2100, 3, 1),
];

/// The text of a NIK, with parts inside and outside their ranges.
fn nik() -> impl Strategy<Value = String> {
    let area = prop_oneof![3 => select(&AREAS[..]).prop_map(str::to_owned), 1 => (0..1_000_000).prop_map(|code| format!("{code:06}"))];
    let valid = (1..32_u32, 1..13_u32, 0..100);
    let odd = (0..60_u32, 0..100_u32, 0..100);
    let boundary = select(&BOUNDARIES[..]).prop_map(|(year, month, day)| (day, month, year % 100));
    let born = (prop_oneof![3 => valid, 1 => odd, 2 => boundary], any::<bool>()).prop_map(
        |((day, month, year), woman)| {
            format!("{:02}{month:02}{year:02}", day + 40 * u32::from(woman))
        },
    );
    let serial = prop_oneof![4 => 0..10_000, 1 => Just(0)];
    (area, born, serial).prop_map(|(area, born, serial)| format!("{area}{born}{serial:04}"))
}

/// A NIK with a character replaced or inserted, or cut off at one; a longer one; or any text.
fn corrupt() -> impl Strategy<Value = String> {
    let mangled =
        (nik(), any::<Index>(), select(&ODD[..]), 0..3).prop_map(|(nik, at, odd, how)| {
            let at = at.index(nik.len());
            match how {
                0 => format!("{}{odd}{}", &nik[..at], &nik[at + 1..]),
                1 => format!("{}{odd}{}", &nik[..at], &nik[at..]),
                _ => nik[..at].to_owned(),
            }
        });
    let any_text =
        vec(select(&ODD[..]), 0..24).prop_map(|characters| characters.into_iter().collect());
    let longer = (nik(), 0..1_000_000_u32).prop_map(|(nik, more)| format!("{nik}{more}"));
    prop_oneof![3 => mangled, 1 => any_text, 1 => longer]
}

/// A text as a JSON string, with each character written verbatim or as any of its escapes.
fn quoted(text: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let styles = prop_oneof![2 => Just(vec![0]), 1 => vec(0..6_u8, 1..8)];
    (text, styles).prop_map(|(text, styles)| {
        let mut out = String::from('"');
        for (character, style) in text.chars().zip(styles.iter().cycle()) {
            let units =
                |capital: bool| {
                    let mut buffer = [0; 2];
                    let units = character.encode_utf16(&mut buffer).iter();
                    units
                        .map(|unit| {
                            if capital {
                                format!("\\u{unit:04X}")
                            } else {
                                format!("\\u{unit:04x}")
                            }
                        })
                        .collect::<String>()
                };
            match (character, style) {
                (_, 4) => out += &units(false),
                (_, 5) => out += &units(true),
                ('"' | '\\', _) | ('/', 3) => out.extend(['\\', character]),
                ('\n', _) => out += "\\n",
                ('\t', 3) => out += "\\t",
                ('\u{8}', 3) => out += "\\b",
                ('\u{0}'..='\u{1f}', _) => out += &units(false),
                _ => out.push(character),
            }
        }
        out + "\""
    })
}

/// Numbers, most of them valid JSON.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        40 => "-?(0|[1-9][0-9]{0,40})",
        20 => "-?(0|[1-9][0-9]{0,16})(\\.[0-9]{1,4})?([eE][-+]?[0-9]{1,3})?",
        1 => "[-+0-9.eE]{1,8}",
    ]
}

/// Any JSON value, rarely one that is nested nearly too deeply or just too deeply.
fn any_value() -> impl Strategy<Value = String> {
    let good = select(&["null", "true", "false", "[]", "{}", "[ ]", "{ }"][..]);
    let bad =
        select(&["tru", "NaN", "'a'", "\"\\ud83d\"", "\"\\ude00\\ud83d\"", "\"\\x\"", ""][..]);
    let leaf = prop_oneof![
        20 => good.prop_map(str::to_owned),
        20 => number(),
        20 => quoted(corrupt()),
        1 => bad.prop_map(str::to_owned),
    ];
    let nested = leaf.prop_recursive(4, 16, 4, |inner| {
        let member = (key(), inner.clone()).prop_map(|(key, value)| format!("{key}:{value}"));
        prop_oneof![
            vec(inner, 0..4).prop_map(|values| format!("[{}]", values.join(", "))),
            vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    });
    let deep = (120..132_usize, any::<bool>()).prop_map(|(depth, objects)| {
        let (open, close) = if objects { ("{\"nik\":[", "]}") } else { ("[[", "]]") };
        open.repeat(depth / 2)
            + &"[".repeat(depth % 2)
            + &"]".repeat(depth % 2)
            + &close.repeat(depth / 2)
    });
    prop_oneof![40 => nested, 1 => deep]
}

fn key() -> impl Strategy<Value = String> {
    let known = select(&["nik", "process", "limited", "NIK", "", "nik ", "niks"][..])
        .prop_map(str::to_owned);
    quoted(prop_oneof![3 => known, 1 => corrupt()])
}

/// Whitespace between tokens, rarely something that JSON does not accept as such.
fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![80 => Just(""), 40 => select(&[" ", "\n", "\r\n", "\t", "  "][..]), 1 => select(&["\u{b}", "\u{a0}", "\u{feff}", "//"][..])]
}

/// What claims declare, some of it in another form than required.
fn declared() -> impl Strategy<Value = (String, String)> {
    let born = prop_oneof![
        2 => select(&BOUNDARIES[..]).prop_map(|(y, m, d)| format!("\"{y:04}-{m:02}-{d:02}\"")),
        4 => (0..100_u32, 0..14_u32, 0..33_u32, select(&[18, 19, 20, 0][..])).prop_map(
            |(year, month, day, century)| format!("\"{century:02}{year:02}-{month:02}-{day:02}\"")
        ),
        1 => "\"[0-9]{1,4}[-/][0-9]{1,2}-[0-9]{1,2}\"",
        1 => "\"[0-9A-Z]{4}-[0-9A-Z]{2}-[0-9A-Z]{2}\"",
    ];
    let gender = select(&["\"Man\"", "\"Woman\"", "\"man\"", "\"\"", "\"\\u004dan\""][..]);
    let area = prop_oneof![
        4 => (select(&AREAS[..]), select(&[2_usize, 4, 6][..]))
            .prop_map(|(code, digits)| format!("\"{}\"", &code[..digits])),
        2 => select(&["\"9301\"", "\"93\"", "\"930101\"", "\"1117\"", "\"111705\""][..])
            .prop_map(str::to_owned),
        1 => "\"[0-9]{0,7}\"",
    ];
    let (known, rare) = (
        prop_oneof![
            3 => born.prop_map(|value| ("birth_date", value)),
            2 => gender.prop_map(|value| ("gender", value.to_owned())),
            3 => area.prop_map(|value| ("area", value)),
        ],
        (select(&["birth_date", "gender", "area", "name", "Nik"][..]), any_value()),
    );
    let member = prop_oneof![
        12 => known,
        1 => rare,
        1 => (select(&["birth_date", "gender", "area"][..]), Just("null".to_owned())),
    ];
    member.prop_map(|(key, value)| (format!("\"{key}\""), value))
}

/// A claim that fits its NIK, as most do.
fn fitting_claim() -> impl Strategy<Value = String> {
    let parts = (nik(), select(&["18", "19", "20"][..]), select(&[2_usize, 4, 6][..]), 0..8_u8);
    parts.prop_map(|(nik, century, digits, given)| {
        let day = nik[6..8].parse::<u32>().expect("two digits");
        let day = if day > 40 { day - 40 } else { day };
        let gender = if &nik[6..7] < "4" { "Man" } else { "Woman" };
        let members = [
            format!(r#","birth_date":"{century}{}-{}-{day:02}""#, &nik[10..12], &nik[8..10]),
            format!(r#","gender":"{gender}""#),
            format!(r#","area":"{}""#, &nik[..digits]),
        ];
        let given = members.iter().enumerate().filter(|(at, _)| given & 1 << at != 0);
        let members: String = given.map(|(_, member)| member.as_str()).collect();
        format!(r#"{{"nik":"{nik}"{members}}}"#)
    })
}

/// A claim, most of them readable.
fn claim() -> impl Strategy<Value = String> {
    let nik = prop_oneof![8 => quoted(nik()), 3 => nik(), 2 => quoted(corrupt()), 1 => any_value()];
    let nik = (quoted(Just("nik".to_owned())), nik).boxed();
    let niks = prop_oneof![20 => vec(nik.clone(), 1), 1 => vec(nik, 0..3)];
    let members = (niks, vec(declared(), 0..4)).prop_map(|(nik, more)| [nik, more].concat());
    (members.prop_shuffle(), vec(space(), 4)).prop_map(|(members, space)| {
        let members: Vec<String> = members
            .iter()
            .map(|(key, value)| format!("{}{key}{}:{value}", space[0], space[1]))
            .collect();
        format!("{{{}{}{}}}", space[2], members.join(","), space[3])
    })
}

fn list() -> impl Strategy<Value = String> {
    let element = prop_oneof![
        4 => fitting_claim(),
        4 => claim(),
        6 => quoted(nik()),
        3 => nik(),
        4 => quoted(corrupt()),
        2 => number(),
        2 => any_value(),
    ];
    // Elements are repeated, as duplicates with the same text in another notation.
    let elements = vec((element, space(), space()), 0..6).prop_flat_map(|elements| {
        let repeated = vec(any::<Index>(), 0..4);
        (Just(elements), repeated)
    });
    elements.prop_map(|(elements, repeated)| {
        let mut texts: Vec<String> =
            elements.iter().map(|(text, before, after)| format!("{before}{text}{after}")).collect();
        for index in repeated.iter().filter(|_| !elements.is_empty()) {
            let text = &index.get(&elements).0;
            let plain = text.trim_matches('"');
            let integer =
                plain.bytes().all(|byte| byte.is_ascii_digit()) && !plain.starts_with('0');
            texts.push(if integer && !plain.is_empty() { plain.to_owned() } else { text.clone() });
        }
        format!("[{}]", texts.join(","))
    })
}

/// Requests, most of them with both required members, in any order and among other members.
fn request() -> impl Strategy<Value = String> {
    let process = prop_oneof![20 => select(&["limited", "full", "explain", "explain"][..]).prop_map(str::to_owned), 1 => corrupt()];
    let nik = (quoted(Just("nik".to_owned())), list());
    let process =
        (quoted(Just("process".to_owned())), prop_oneof![10 => quoted(process), 1 => any_value()]);
    let other = (key(), any_value());
    let members = (vec(nik, 1), vec(process, 1), vec(other, 0..3))
        .prop_map(|(nik, process, other)| [nik, process, other].concat());
    let more = vec((key(), prop_oneof![list(), any_value()]), 0..4);
    let members = prop_oneof![12 => members, 1 => more].prop_shuffle();
    (members, vec(space(), 6)).prop_map(|(members, space)| {
        let members: Vec<String> = members
            .iter()
            .map(|(key, value)| {
                format!("{}{key}{}:{}{value}{}", space[0], space[1], space[2], space[3])
            })
            .collect();
        format!("{}{{{}}}{}", space[4], members.join(","), space[5])
    })
}

/// A request, unchanged or with a few bytes changed.
pub fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let damage = (any::<Index>(), prop_oneof![3 => select(BYTES), 1 => any::<u8>()], 0..5);
    let damages = prop_oneof![4 => Just(Vec::new()), 1 => vec(damage, 1..4)];
    (prop_oneof![12 => request(), 1 => any_value()], damages).prop_map(|(request, damages)| {
        let mut bytes = request.into_bytes();
        for (at, byte, how) in damages {
            let at = at.index(bytes.len() + 1);
            match how {
                0 | 1 => bytes.insert(at, byte),
                2 if at < bytes.len() => bytes[at] = byte,
                3 if at < bytes.len() => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
        }
        bytes
    })
}

/// Boundary days and others.
pub fn day() -> impl Strategy<Value = NaiveDate> {
    prop_oneof![3 => select(&BOUNDARIES[..]), 1 => (1890..2160, 1..13_u32, 1..29_u32)]
        .prop_map(|(year, month, day)| NaiveDate::from_ymd_opt(year, month, day).expect("a day"))
}
