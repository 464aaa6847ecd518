//! The live page in a real Chromium: its numbers, its updates and its layout.

pub mod browser;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::cluster::{NewRecord, Program, shared};
use crate::traffic::audit::{counted, counters};
use crate::traffic::load::Requests;
use crate::traffic::stage::{Stage, stop, wait_until};
use browser::Browser;

const DESKTOP: (u32, u32) = (1440, 1000);
const PHONE: (u32, u32) = (360, 740);
const PARTITIONS: usize = 3;
/// A request with a NIK that is invalid in two sections.
const EXPLAINED: &[u8] = br#"{"nik":["3273013104900000"],"process":"explain"}"#;

/// The shown text by its path in the status.
const SHOWN: &str = "return Object.fromEntries([...document.querySelectorAll('[data-from]')]
    .map(element => [element.dataset.from, element.textContent]))";

fn text(browser: &Browser, script: &str) -> String {
    let value = browser.run(script);
    value.as_str().map_or(value.to_string(), str::to_owned)
}

fn state(browser: &Browser) -> String {
    text(browser, "return document.querySelector('#state').textContent")
}

/// The counters on the page, by their names in `/metrics`.
fn shown(browser: &Browser) -> BTreeMap<String, u64> {
    let shown = browser.run(SHOWN);
    let whole = |text: &Value| text.as_str()?.replace(',', "").parse().ok();
    let named = |(path, text): (&String, &Value)| Some((name(path)?, whole(text)?));
    shown.as_object().unwrap().iter().filter_map(named).collect()
}

fn name(path: &str) -> Option<String> {
    let (above, last) = path.rsplit_once('.').unwrap_or(("", path));
    Some(match above {
        "failures" => format!("nik_stream_failures_total{{reason=\"{last}\"}}"),
        "requests" => format!("nik_stream_requests_total {last}"),
        _ if above.starts_with("reasons.") => {
            let section = above.trim_start_matches("reasons.");
            format!("nik_stream_reasons_total{{reason=\"{last}\",section=\"{section}\"}}")
        }
        "summary" => format!("nik_summary_{last}_total"),
        "summary.valid" => format!("nik_summary_valid_{last}_total"),
        "summary.valid.section" => {
            format!("nik_summary_valid_section_total{{section=\"{last}\"}}")
        }
        _ => return None,
    })
}

/// The same counters according to `/metrics`, with requests summed over their process.
fn expected(program: &Program) -> BTreeMap<String, u64> {
    let mut expected = BTreeMap::new();
    for (name, value) in program.metrics() {
        let outcome = name.strip_prefix("nik_stream_requests_total{outcome=\"");
        let outcome = outcome.and_then(|rest| rest.split('"').next());
        let families = ["nik_summary_", "nik_stream_failures_", "nik_stream_reasons_"];
        let shown = families.iter().any(|family| name.starts_with(family));
        let name = match outcome {
            Some(outcome) => format!("nik_stream_requests_total {outcome}"),
            None if shown => name,
            None => continue,
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a counter of a short test"
        )]
        let value = value as u64;
        *expected.entry(name).or_default() += value;
    }
    expected
}

fn open(program: &Program, size: (u32, u32)) -> Browser {
    let browser = Browser::open(&program.url("/"), size);
    wait_until("the page shows the state", || state(&browser) == "Ready");
    browser
}

#[test]
fn the_numbers_on_the_page_equal_the_metrics_and_follow_them() {
    let stage = Stage::new(shared(), "page", PARTITIONS);
    let program = stage.run();
    let browser = open(&program, DESKTOP);
    let mut requests = Requests::new(0, PARTITIONS);
    let mut sent: Vec<NewRecord> = Vec::new();
    for count in [700, 2_500] {
        let mut more: Vec<_> = requests.by_ref().take(count).collect();
        more.push(NewRecord { value: Some(EXPLAINED.to_vec()), ..more[0].clone() });
        shared().produce(&stage.requests, &more);
        sent.extend(more);
        wait_until("all requests are counted", || counted(&program.metrics()) == counters(&sent));
        // Without a reload of the page.
        let counters = expected(&program);
        assert!(counters["nik_stream_requests_total failure"] > 0);
        let reasons = counters.iter().filter(|(name, _)| name.contains("_reasons_"));
        assert!(reasons.map(|(_, count)| count).sum::<u64>() > 0, "{counters:?}");
        wait_until("the page has followed", || shown(&browser) == counters);
    }

    let lag = browser.run(
        "return [...document.querySelectorAll('#lag tr')].map(row => row.cells[2].textContent)",
    );
    assert_eq!(lag.as_array().unwrap().len(), PARTITIONS);
    let (status, body) = program.get("/api/status").unwrap();
    assert_eq!(status, 200);
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    let longest = body.as_bytes().split(|byte| !is_digit(byte));
    let longest = longest.map(<[u8]>::len).max();
    assert!(longest < Some(16), "a NIK on the page: {body}");

    assert_eq!(browser.log("browser"), [] as [Value; 0], "the console");
    let here = program.url("/");
    let mut loaded = 0;
    for line in browser.log("performance") {
        let line: Value = serde_json::from_str(line["message"].as_str().unwrap()).unwrap();
        let message = &line["message"];
        let from = message["params"]["documentURL"].as_str();
        let is_ours = from.is_some_and(|from| from.starts_with(&here)); // a new tab loads resources of the browser
        if message["method"] == "Network.requestWillBeSent" && is_ours {
            let url = message["params"]["request"]["url"].as_str().unwrap();
            assert!(url.starts_with(&here), "{url}");
            loaded += 1;
        }
    }
    assert!(loaded >= 4, "page, style, script, status: {loaded}");
    stop(program);
}

#[test]
fn the_page_is_accessible_on_every_screen() {
    let stage = Stage::new(shared(), "read", PARTITIONS);
    let program = stage.run();
    let browser = open(&program, DESKTOP);
    assert_eq!(text(&browser, "return document.title"), "nik-stream");
    assert_eq!(text(&browser, "return document.documentElement.lang"), "en");
    let count = |selector: &str| {
        let script = format!("return document.querySelectorAll({selector:?}).length");
        browser.run(&script).as_u64().unwrap()
    };
    for landmark in ["header", "main", "footer", "h1"] {
        assert_eq!(count(landmark), 1, "{landmark}");
    }
    assert_eq!(count("section"), count("section[aria-labelledby]"));
    assert_eq!(count("th"), count("th[scope]"));
    assert_eq!(count("[role=status]"), 1, "one live region for screen readers");

    // Both colour schemes have the contrast that WCAG (AA) requires.
    let mut backgrounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer("prefers-color-scheme", scheme);
        let contrasts = browser.run(CONTRASTS);
        for (what, contrast) in contrasts.as_object().unwrap() {
            assert!(contrast.as_f64() >= Some(4.5), "{scheme}: {what}: {contrast}");
        }
        backgrounds.push(text(&browser, "return getComputedStyle(document.body).backgroundColor"));
    }
    assert_ne!(backgrounds[0], backgrounds[1]);

    browser.prefer("prefers-reduced-motion", "reduce");
    let motion = "return getComputedStyle(document.querySelector('.bar i')).transitionProperty";
    assert_eq!(text(&browser, motion), "none");

    for size in [PHONE, (820, 1180), (3840, 2160)] {
        browser.resize(size.0, size.1);
        let fits = "return document.documentElement.scrollWidth <= innerWidth";
        assert_eq!(browser.run(fits), true, "{size:?}");
    }

    let inject = "const script = document.createElement('script'); script.textContent = 'window.foreign = true';
        document.body.append(script); return window.foreign ?? false";
    assert_eq!(browser.run(inject), false, "only the page's own script runs");
    stop(program);
}

/// The contrast of every visible text with its background.
const CONTRASTS: &str = "
    const parse = colour => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
    const behind = element => {
        const colour = parse(getComputedStyle(element).backgroundColor);
        return colour.length === 3 || colour[3] === 1 ? colour : behind(element.parentElement);
    };
    const found = {};
    for (const element of document.querySelectorAll('body *')) {
        if (![...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()) || !element.checkVisibility()) continue;
        const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))].sort((a, b) => b - a);
        found[element.tagName + ' ' + element.textContent.slice(0, 30)] = (a + .05) / (b + .05);
    }
    return found";

#[test]
fn the_page_shows_when_the_program_stops_answering_and_recovers() {
    let stage = Stage::new(shared(), "gone", PARTITIONS);
    let program = stage.run();
    let browser = open(&program, PHONE);
    program.signal("STOP");
    wait_until("the page shows it", || state(&browser) == "No answer");
    let age = text(&browser, "return document.querySelector('#age').textContent");
    assert!(age.starts_with("Last update ") && age.contains(" s ago, at "), "{age}");
    let kept = browser.run(SHOWN);
    assert_eq!(kept["about.group"], Value::from(stage.group.as_str()));
    program.signal("CONT");
    wait_until("the page recovers", || state(&browser) != "No answer");
    stop(program);
}

#[test]
fn a_large_unhealthy_stream_fits_on_a_phone_and_shows_its_problems() {
    const MOST: u64 = 9_007_199_254_740_991; // the largest integer in JavaScript
    const MANY: u64 = MOST / 1000;
    let stage = Stage::new(shared(), "large", PARTITIONS);
    let program = stage.run();
    let browser = open(&program, PHONE);
    let (_, body) = program.get("/api/status").unwrap();
    let mut status: Value = serde_json::from_str(&body).unwrap();
    let why = "the flood breaker is open until noon";
    status["ready"] = false.into();
    status["problems"] = json!([why, "worker 1 has no group assignment yet"]);
    status["breaker"] = json!({ "open": true, "why": why });
    status["summary"]["number_processed"] = MOST.into();
    status["summary"]["valid"]["section"]["area"] = MANY.into();
    status["failures"]["malformed_json"] = MANY.into();
    status["rates"]["results"] = json!([0.0, 1_234_567.8]);
    status["latency"]["p50"] = 0.0123.into();
    status["latency"]["p99"] = status["latency"]["longest"].clone();
    status["partitions"] = (0..256)
        .map(|partition| {
            json!({ "partition": partition, "assigned": true, "lag_records": 123_456_789, "lag_seconds": 7_500.0 })
        })
        .collect();
    browser
        .run(&format!("window.fetch = async () => ({{ ok: true, json: async () => ({status}) }})"));
    wait_until("the page shows it", || state(&browser) == "Not ready");

    let shown = browser.run(SHOWN);
    assert_eq!(shown["summary.number_processed"], "9,007,199,254,740,991");
    assert_eq!(shown["rates.results"], "1,234,568");
    assert_eq!(shown["latency.p50"], "12 ms");
    assert_eq!(shown["latency.p99"], "over 300 s");
    let read = |selector: &str| {
        let script = format!("return document.querySelector({selector:?}).textContent");
        text(&browser, &script)
    };
    assert_eq!(read("#breaker"), "Open");
    assert_eq!(read("#why"), why);
    assert_eq!(read("#problems li:first-child"), why);
    assert_eq!(read("#lag tr:last-child th"), "255");
    assert_eq!(read("#lag tr:last-child td:last-child"), "2 h 5 min");
    assert_eq!(read("#sections tr:nth-child(2) td:last-child"), "0.1%");
    for width in [360, 820, 1440] {
        browser.resize(width, 900);
        let beyond = "return [...document.querySelectorAll('main *')].filter(element => element.getBoundingClientRect().right
            > element.closest('section, details').getBoundingClientRect().right).map(element => element.outerHTML.slice(0, 90))";
        assert_eq!(browser.run(beyond), json!([]), "{width}");
    }
    stop(program);
}

#[test]
#[ignore = "writes docs/page-light.png and docs/page-dark.png: script/screenshots"]
fn screenshots_of_the_page_are_taken() {
    let url = std::env::var("NIK_STREAM_PAGE").expect("NIK_STREAM_PAGE, the page's URL");
    let browser = Browser::open(&url, (1440, 1100));
    wait_until("the page shows the state", || state(&browser) == "Ready");
    for (scheme, width, name) in [
        ("light", 1440, "docs/page-light.png"),
        ("dark", 1440, "docs/page-dark.png"),
        ("light", 360, "target/page-phone.png"),
        ("dark", 2560, "target/page-wall.png"),
    ] {
        browser.prefer("prefers-color-scheme", scheme);
        // The page reports at least the height of the window, so a low window comes first.
        browser.resize(width, 1);
        let height = browser.run("return document.documentElement.scrollHeight").as_u64();
        browser.resize(width, height.expect("pixels").try_into().expect("fits"));
        std::thread::sleep(std::time::Duration::from_secs(2)); // until the bars have moved
        let directory = env!("CARGO_MANIFEST_DIR");
        let mut decode = Command::new("sh");
        let mut decode = decode
            .args(["-c", &format!("base64 -d >{directory}/{name}")])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let screenshot = browser.screenshot();
        std::io::Write::write_all(&mut decode.stdin.take().unwrap(), screenshot.as_bytes())
            .unwrap();
        assert!(decode.wait().unwrap().success());
    }
}
