//! The instances of the program, and what is done to them.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::PATIENCE;
use crate::cluster::{KafkaCluster, Program, ProgramSettings};
use crate::traffic::stage::wait_until;

/// The session of a member: silent for longer, it loses its partitions.
const SESSION: Duration = Duration::from_secs(6);
/// What a clean stop may take.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// For so long after a second process took an instance's name either may find itself fenced.
const FENCING: Duration = Duration::from_mins(2);
const FENCED: i32 = 75;
/// What all members of the group are: static ones and dynamic ones do not mix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Membership {
    Static,
    Dynamic,
}

/// What is counted, by name.
pub type Counts = BTreeMap<&'static str, u64>;

/// All instances: the three that stay, guests that come and go, and old processes whose names were taken.
pub struct Fleet {
    members: Vec<Member>,
    settings: ProgramSettings,
    membership: Membership,
    guests: u32,
    logs: PathBuf,
    pub counts: Counts,
    /// What no instance should have done.
    pub misdeeds: Vec<String>,
}

struct Member {
    name: String,
    settings: ProgramSettings,
    state: State,
    stays: bool,
    /// A guest ends at this time.
    leaves_at: Option<Instant>,
    may_be_fenced_until: Option<Instant>,
}

enum State {
    Up(Program),
    Frozen(Program, Instant),
    Leaving(Program, Instant),
    Down(Instant),
}

impl Member {
    fn may_be_fenced(&self) -> bool {
        self.may_be_fenced_until.is_some_and(|end| Instant::now() < end)
    }
}

impl Fleet {
    /// Three members, each with two workers, all ready. Their logs are kept in `logs`.
    pub fn start(
        cluster: &KafkaCluster,
        group: &str,
        membership: Membership,
        logs: PathBuf,
    ) -> Fleet {
        let settings = ProgramSettings::new(cluster)
            .set("kafka.group_id", group)
            .set("kafka.workers", "2")
            .set("kafka.session_timeout_ms", &SESSION.as_millis().to_string())
            .set("log.format", "text");
        let mut fleet = Fleet {
            members: Vec::new(),
            settings,
            membership,
            guests: 0,
            logs,
            counts: Counts::new(),
            misdeeds: Vec::new(),
        };
        for name in ["a", "b", "c"] {
            let settings = fleet.settings_of(name);
            let mut program = settings.run();
            program.wait_ready(Duration::from_mins(1));
            fleet.add(name, settings, State::Up(program), None).stays = true;
        }
        fleet
    }

    fn settings_of(&self, name: &str) -> ProgramSettings {
        match self.membership {
            Membership::Static => self.settings.clone().set("kafka.instance_id", name),
            Membership::Dynamic => self.settings.clone(),
        }
    }

    fn add(
        &mut self,
        name: &str,
        settings: ProgramSettings,
        state: State,
        leaves_at: Option<Instant>,
    ) -> &mut Member {
        let (name, stays, may_be_fenced_until) = (name.to_owned(), false, None);
        self.members.push(Member { name, settings, state, stays, leaves_at, may_be_fenced_until });
        self.members.last_mut().expect("just added")
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    // One of those that stay and run, if any does.
    fn victim(
        &mut self,
        random: &mut ChaCha8Rng,
        eligible: impl Fn(&Member) -> bool,
    ) -> Option<usize> {
        let up = |member: &Member| {
            member.stays && matches!(member.state, State::Up(_)) && eligible(member)
        };
        let candidates: Vec<usize> =
            (0..self.members.len()).filter(|&index| up(&self.members[index])).collect();
        (!candidates.is_empty()).then(|| candidates[random.random_range(0..candidates.len())])
    }

    fn take(&mut self, index: usize, next: State) -> Program {
        match std::mem::replace(&mut self.members[index].state, next) {
            State::Up(program) | State::Frozen(program, _) | State::Leaving(program, _) => program,
            State::Down(_) => unreachable!("only running members are taken"),
        }
    }

    /// kill -9; back at once, or after the session, or in between. False when it is not possible now (also below).
    pub fn kill(&mut self, random: &mut ChaCha8Rng) -> bool {
        let Some(index) = self.victim(random, |_| true) else {
            return false;
        };
        let pause = [0, 500, 2_000, 8_000][random.random_range(0..4)];
        let program = self.take(index, State::Down(in_ms(pause)));
        program.signal("KILL");
        self.retire(index, &program);
        self.count("instance kill -9");
        true
    }

    /// SIGSTOP past the session: its partitions go to others, then it comes back and believes it still has them.
    pub fn freeze(&mut self, random: &mut ChaCha8Rng) -> bool {
        self.pause(random, "instance frozen past its session", 9_000)
    }

    /// SIGSTOP for less than the session.
    pub fn blink(&mut self, random: &mut ChaCha8Rng) -> bool {
        let ms = random.random_range(500..3_000);
        self.pause(random, "instance frozen for a moment", ms)
    }

    fn pause(&mut self, random: &mut ChaCha8Rng, what: &'static str, ms: u64) -> bool {
        let Some(index) = self.victim(random, |_| true) else {
            return false;
        };
        let program = self.take(index, State::Down(Instant::now()));
        program.signal("STOP");
        self.members[index].state = State::Frozen(program, in_ms(ms));
        self.count(what);
        true
    }

    /// SIGTERM, and back.
    pub fn restart(&mut self, random: &mut ChaCha8Rng) -> bool {
        let Some(index) = self.victim(random, |_| true) else {
            return false;
        };
        self.leave(index);
        self.count("instance stopped and restarted");
        true
    }

    fn leave(&mut self, index: usize) {
        let program = self.take(index, State::Down(Instant::now()));
        // A signal that comes before it listens to any would end it on the spot, with nothing begun.
        wait_until("it listens to signals", || program.stderr().contains("nik-stream starts"));
        program.signal("TERM");
        self.members[index].state = State::Leaving(program, Instant::now());
    }

    /// A static member is frozen and replaced under its name, as an orchestrator does; then the old one comes back.
    pub fn usurp(&mut self, random: &mut ChaCha8Rng) -> bool {
        let membership = self.membership;
        let Some(index) = self
            .victim(random, |member| membership == Membership::Static && !member.may_be_fenced())
        else {
            return false;
        };
        let settings = self.members[index].settings.clone();
        let old = self.take(index, State::Up(settings.run()));
        old.signal("STOP");
        let until = Some(Instant::now() + FENCING);
        self.members[index].may_be_fenced_until = until;
        let (name, back) =
            (format!("{}-old", self.members[index].name), in_ms(random.random_range(2_000..9_000)));
        self.add(&name, settings, State::Frozen(old, back), until).may_be_fenced_until = until;
        self.count("static instance replaced, zombie back");
        true
    }

    /// Two instances join, and leave soon after, one way or the other.
    pub fn storm(&mut self, random: &mut ChaCha8Rng) -> bool {
        for _ in 0..2 {
            self.guests += 1;
            let name = format!("guest-{}", self.guests);
            let (settings, stay) = (self.settings_of(&name), random.random_range(1_000..8_000));
            let program = settings.run();
            self.add(&name, settings, State::Up(program), Some(in_ms(stay)));
            self.count("guest joined and left");
        }
        true
    }

    /// Does what is due: ends pauses, starts who is down, sees who has ended.
    pub fn tick(&mut self, random: &mut ChaCha8Rng) {
        let now = Instant::now();
        for index in (0..self.members.len()).rev() {
            match &mut self.members[index].state {
                State::Up(program) => match program.wait(Duration::ZERO) {
                    Some(code) => self.ended_by_itself(index, code),
                    None if self.members[index].leaves_at.is_some_and(|end| now >= end) => {
                        if random.random_bool(0.5) {
                            self.leave(index);
                        } else {
                            self.dismiss(index);
                        }
                    }
                    None => {}
                },
                State::Frozen(_, end) if now >= *end => {
                    let program = self.take(index, State::Down(now));
                    program.signal("CONT");
                    self.members[index].state = State::Up(program);
                }
                State::Leaving(program, since) => {
                    let (since, code) = (*since, program.wait(Duration::ZERO));
                    if code.is_some() || since.elapsed() > STOP_LIMIT {
                        self.left(index, code, since);
                    }
                }
                State::Down(at) if now >= *at => {
                    if self.members[index].stays {
                        self.members[index].state = State::Up(self.members[index].settings.run());
                    } else {
                        self.members.swap_remove(index);
                    }
                }
                State::Frozen(..) | State::Down(_) => {}
            }
        }
    }

    fn ended_by_itself(&mut self, index: usize, code: i32) {
        let program = self.take(index, State::Down(in_ms(500)));
        self.retire(index, &program);
        if code == FENCED && self.members[index].may_be_fenced() {
            self.count("fenced instance ended itself (75)");
        } else {
            let name = &self.members[index].name;
            self.misdeeds.push(format!(
                "{name} ended by itself with {code}:\n{}",
                last_lines(&program.stderr())
            ));
        }
    }

    fn left(&mut self, index: usize, code: Option<i32>, since: Instant) {
        let program = self.take(index, State::Down(in_ms(200)));
        self.retire(index, &program);
        let fenced = code == Some(FENCED) && self.members[index].may_be_fenced();
        if code != Some(0) && !fenced {
            let (name, took) = (&self.members[index].name, since.elapsed());
            let words = last_lines(&program.stderr());
            self.misdeeds.push(format!(
                "{name} ended with {code:?} after {took:?} when asked to stop:\n{words}"
            ));
        }
    }

    fn dismiss(&mut self, index: usize) {
        let program = self.take(index, State::Down(Instant::now()));
        program.signal("KILL");
        self.retire(index, &program);
    }

    // Its words outlive it.
    fn retire(&self, index: usize, program: &Program) {
        let file = self.logs.join(format!("{}.log", self.members[index].name));
        let file = std::fs::OpenOptions::new().create(true).append(true).open(file);
        let written = file.and_then(|mut file| {
            writeln!(file, "--- process {}\n{}", program.pid(), program.stderr())
        });
        written.expect("the log is kept");
    }

    /// Everybody who stays runs, everybody else is gone.
    pub fn heal(&mut self, random: &mut ChaCha8Rng) {
        let now = Instant::now();
        for index in 0..self.members.len() {
            match &mut self.members[index] {
                Member { state: State::Frozen(_, until) | State::Down(until), .. } => *until = now,
                Member { state: State::Up(_), stays: false, .. } => self.dismiss(index),
                Member { .. } => {}
            }
        }
        let whole = |fleet: &Fleet| {
            fleet.members.len() == 3
                && fleet.members.iter().all(|member| matches!(member.state, State::Up(_)))
        };
        while !whole(self) {
            assert!(
                now.elapsed() < PATIENCE,
                "an instance does not come back: {}",
                self.misdeeds.join("\n\n")
            );
            for member in self.members.iter_mut().filter(|member| !member.stays) {
                member.leaves_at = Some(now);
            }
            self.tick(random);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Everybody stops in good order.
    pub fn stop(&mut self) {
        for index in 0..self.members.len() {
            if let State::Up(_) = self.members[index].state {
                self.leave(index);
            }
        }
        for index in 0..self.members.len() {
            if let State::Leaving(program, since) = &mut self.members[index].state {
                let (code, since) = (program.wait(STOP_LIMIT), *since);
                self.left(index, code, since);
            }
        }
    }
}

fn in_ms(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}

/// The end of a log.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
