//! Tokens of an identity provider, got by client credentials and renewed while the service runs.

use super::provider::Provider;
use super::{Secured, secured};
use crate::cluster::ProgramSettings;
use crate::traffic::audit::assert_exact;
use crate::traffic::load::Load;
use crate::traffic::reader::Reader;
use crate::traffic::stage::{Stage, WAIT_TIMEOUT, ready, stop, wait_until};

/// Settings for tokens of `provider` that live this many seconds.
fn settings(
    secured: &Secured,
    provider: &Provider,
    seconds: u32,
    base: ProgramSettings,
) -> ProgramSettings {
    secured
        .by_endpoint(&provider.url(), base)
        .set("kafka.security.oauth_scope", &format!("seconds-{seconds}"))
}

#[test]
fn three_renewals_under_load_lose_and_double_nothing() {
    let secured = secured();
    let provider = Provider::start(secured.dir.path());
    let stage = Stage::new(&secured.cluster, "renewals", 2);
    let settings = settings(secured, &provider, 12, stage.settings());
    let program = ready(&settings);
    let reader = Reader::start(&secured.cluster, &stage);
    let load = Load::start(&secured.cluster, &stage.requests, 2, 200);
    for renewals in 1..=3 {
        wait_until("the token is renewed", || provider.issued() > renewals);
    }
    assert_exact(&secured.cluster, &stage, load, &reader);
    let words = program.stderr();
    assert!(!words.contains("no token"), "{words}");
    stop(program);
}

#[test]
fn an_endpoint_that_is_away_is_waited_for_and_meanwhile_the_old_token_is_used() {
    let secured = secured();
    let provider = Provider::start(secured.dir.path());
    provider.set_away(true);
    let stage = Stage::new(&secured.cluster, "away", 1);
    let mut program = settings(secured, &provider, 12, stage.settings()).run();
    let line = "no token for the brokers: the token endpoint cannot be reached: ";
    wait_until("the program says why it waits", || program.is_held_up_by(line));
    provider.set_away(false);
    program.wait_ready(WAIT_TIMEOUT);

    provider.set_away(true);
    let waits = "the old token is used until it expires";
    wait_until("a renewal has failed", || program.stderr().contains(waits));
    assert!(program.ready(), "{}", program.stderr());
    let issued = provider.issued();
    provider.set_away(false);
    wait_until("the token is renewed", || provider.issued() > issued);
    assert!(program.ready(), "{}", program.stderr());
    stop(program);
}

#[test]
fn the_variables_for_proxies_apply_to_the_endpoint() {
    let secured = secured();
    let stage = Stage::new(&secured.cluster, "proxies", 1);
    let settings = secured.by_endpoint(&secured.provider.url(), stage.settings());
    let verify = |variables: &[(&str, &str)]| {
        let mut command = settings.command(&["topics", "verify"]);
        command.envs(variables.iter().copied()).output().expect("runs")
    };
    let nowhere = ("HTTPS_PROXY", "http://127.0.0.1:1");
    let refused = verify(&[nowhere]);
    let words = String::from_utf8(refused.stderr).expect("text");
    assert_eq!(refused.status.code(), Some(1), "{words}");
    assert!(words.contains("the token endpoint cannot be reached: "), "{words}");
    let direct = verify(&[nowhere, ("NO_PROXY", "127.0.0.1")]);
    assert_eq!(direct.status.code(), Some(0), "{direct:?}");
}
