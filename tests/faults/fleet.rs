//! The instances of the program in one group, and the faults they suffer.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::RECOVERY_TIMEOUT;
use crate::cluster::{Program, ProgramSettings};
use crate::traffic::stage::wait_until;

/// A member that is silent for longer loses its partitions.
const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
/// How long a clean stop may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// For this long after a second process took an instance's name, either may be fenced.
const FENCING_PERIOD: Duration = Duration::from_mins(2);
/// The exit code of a fenced instance.
const FENCED: i32 = 75;

/// Static and dynamic members do not mix in a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Membership {
    Static,
    Dynamic,
}

/// Faults and events, by name.
pub type Counts = BTreeMap<&'static str, u64>;

/// All instances: three permanent ones, temporary ones that join and leave, and zombies whose names
/// were taken.
pub struct Fleet {
    members: Vec<Member>,
    settings: ProgramSettings,
    membership: Membership,
    temporary: u32,
    logs: PathBuf,
    pub counts: Counts,
    /// What no instance should have done, in words.
    pub unexpected: Vec<String>,
}

struct Member {
    name: String,
    settings: ProgramSettings,
    state: State,
    stays: bool,
    /// When a temporary member leaves.
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
    /// Starts three members with two workers each; does not wait for them. Their logs are kept in
    /// `logs`.
    pub fn start(settings: ProgramSettings, membership: Membership, logs: PathBuf) -> Fleet {
        std::fs::create_dir_all(&logs).expect("a directory for the logs");
        let settings = settings
            .set("kafka.workers", "2")
            .set("kafka.session_timeout_ms", &SESSION_TIMEOUT.as_millis().to_string())
            .set("log.format", "text");
        let mut fleet = Fleet {
            members: Vec::new(),
            settings,
            membership,
            temporary: 0,
            logs,
            counts: Counts::new(),
            unexpected: Vec::new(),
        };
        for name in ["a", "b", "c"] {
            let settings = fleet.settings_of(name);
            let program = settings.run();
            fleet.add(name, settings, State::Up(program), None).stays = true;
        }
        fleet
    }

    /// Waits until every member is ready; called before the first fault.
    pub fn wait_ready(&mut self) {
        for member in &mut self.members {
            if let State::Up(program) = &mut member.state {
                program.wait_ready(RECOVERY_TIMEOUT);
            }
        }
    }

    /// What the running members say about their readiness.
    pub fn problems(&self) -> Vec<String> {
        let problem = |member: &Member| match &member.state {
            State::Up(program) => {
                let answer = program.get("/readyz").map_or("no answer".to_owned(), |it| it.1);
                Some(format!("{}: {}", member.name, answer.trim()))
            }
            _ => None,
        };
        self.members.iter().filter_map(problem).collect()
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

    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    // A permanent member that runs, if there is one.
    fn pick(
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

    /// Kills a permanent member with SIGKILL; it is restarted at once, during its session or after
    /// it. Returns false if no permanent member runs, as do the faults below.
    pub fn kill(&mut self, random: &mut ChaCha8Rng) -> bool {
        let Some(index) = self.pick(random, |_| true) else {
            return false;
        };
        let pause = [0, 500, 2_000, 8_000][random.random_range(0..4)];
        self.end(index, in_ms(pause));
        self.count("instance kill -9");
        true
    }

    /// kill -9 of every member that runs; each is restarted at once.
    pub fn kill_all(&mut self) {
        for index in 0..self.members.len() {
            if let State::Up(_) = self.members[index].state {
                self.end(index, Instant::now());
                self.count("instance kill -9");
            }
        }
    }

    /// SIGSTOP for longer than the session: its partitions go to others, then it resumes and still
    /// believes that it has them.
    pub fn freeze(&mut self, random: &mut ChaCha8Rng) -> bool {
        self.pause(random, "instance frozen past its session", 9_000)
    }

    /// SIGSTOP for less than the session.
    pub fn pause_briefly(&mut self, random: &mut ChaCha8Rng) -> bool {
        let ms = random.random_range(500..3_000);
        self.pause(random, "instance frozen for a moment", ms)
    }

    fn pause(&mut self, random: &mut ChaCha8Rng, what: &'static str, ms: u64) -> bool {
        let Some(index) = self.pick(random, |_| true) else {
            return false;
        };
        let program = self.take(index, State::Down(Instant::now()));
        program.signal("STOP");
        self.members[index].state = State::Frozen(program, in_ms(ms));
        self.count(what);
        true
    }

    /// SIGTERM and a restart.
    pub fn restart(&mut self, random: &mut ChaCha8Rng) -> bool {
        let Some(index) = self.pick(random, |_| true) else {
            return false;
        };
        self.leave(index);
        self.count("instance stopped and restarted");
        true
    }

    fn leave(&mut self, index: usize) {
        let program = self.take(index, State::Down(Instant::now()));
        // Before its handlers are installed, the signal would kill the program.
        wait_until("it handles signals", || program.stderr().contains("nik-stream starts"));
        program.signal("TERM");
        self.members[index].state = State::Leaving(program, Instant::now());
    }

    /// Freezes a static member and replaces it under its name, as an orchestrator does; then the
    /// old one resumes.
    pub fn replace_static(&mut self, random: &mut ChaCha8Rng) -> bool {
        let membership = self.membership;
        let Some(index) =
            self.pick(random, |member| membership == Membership::Static && !member.may_be_fenced())
        else {
            return false;
        };
        let settings = self.members[index].settings.clone();
        let old = self.take(index, State::Up(settings.run()));
        old.signal("STOP");
        let until = Some(Instant::now() + FENCING_PERIOD);
        self.members[index].may_be_fenced_until = until;
        let (name, back) =
            (format!("{}-old", self.members[index].name), in_ms(random.random_range(2_000..9_000)));
        self.add(&name, settings, State::Frozen(old, back), until).may_be_fenced_until = until;
        self.count("static instance replaced, zombie back");
        true
    }

    /// Two instances join, and soon leave: stopped or killed.
    pub fn join_briefly(&mut self, random: &mut ChaCha8Rng) -> bool {
        for _ in 0..2 {
            self.temporary += 1;
            let name = format!("temporary-{}", self.temporary);
            let (settings, stay) = (self.settings_of(&name), random.random_range(1_000..8_000));
            let program = settings.run();
            self.add(&name, settings, State::Up(program), Some(in_ms(stay)));
            self.count("temporary instance joined and left");
        }
        true
    }

    /// Does what is due: ends pauses, starts members that are down, notes those that have ended.
    pub fn tick(&mut self, random: &mut ChaCha8Rng) {
        let now = Instant::now();
        for index in (0..self.members.len()).rev() {
            match &mut self.members[index].state {
                State::Up(program) => match program.wait(Duration::ZERO) {
                    Some(code) => self.exited(index, code),
                    None if self.members[index].leaves_at.is_some_and(|end| now >= end) => {
                        if random.random_bool(0.5) {
                            self.leave(index);
                        } else {
                            self.end(index, now);
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
                    if code.is_some() || since.elapsed() > STOP_TIMEOUT {
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

    fn exited(&mut self, index: usize, code: i32) {
        let program = self.take(index, State::Down(in_ms(500)));
        self.retire(index, &program);
        if code == FENCED && self.members[index].may_be_fenced() {
            self.count("fenced instance exited (75)");
        } else {
            let name = &self.members[index].name;
            self.unexpected.push(format!(
                "{name} exited unasked with {code}:\n{}",
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
            self.unexpected.push(format!(
                "{name} ended with {code:?} after {took:?} when asked to stop:\n{words}"
            ));
        }
    }

    /// Kills a member with SIGKILL; what follows is due at `then`.
    fn end(&mut self, index: usize, then: Instant) {
        let program = self.take(index, State::Down(then));
        program.signal("KILL");
        self.retire(index, &program);
    }

    // Keeps the log of a process that ended.
    fn retire(&self, index: usize, program: &Program) {
        let file = self.logs.join(format!("{}.log", self.members[index].name));
        let file = std::fs::OpenOptions::new().create(true).append(true).open(file);
        let written = file.and_then(|mut file| {
            writeln!(file, "--- process {}\n{}", program.pid(), program.stderr())
        });
        written.expect("the log is kept");
    }

    /// Waits until the permanent members run and all others are gone.
    pub fn recover(&mut self, random: &mut ChaCha8Rng) {
        let now = Instant::now();
        for index in 0..self.members.len() {
            match &mut self.members[index] {
                Member { state: State::Frozen(_, until) | State::Down(until), .. } => *until = now,
                Member { state: State::Up(_), stays: false, .. } => self.end(index, now),
                Member { .. } => {}
            }
        }
        let whole = |fleet: &Fleet| {
            fleet.members.len() == 3
                && fleet.members.iter().all(|member| matches!(member.state, State::Up(_)))
        };
        while !whole(self) {
            assert!(
                now.elapsed() < RECOVERY_TIMEOUT,
                "an instance does not come back: {}",
                self.unexpected.join("\n\n")
            );
            for member in self.members.iter_mut().filter(|member| !member.stays) {
                member.leaves_at = Some(now);
            }
            self.tick(random);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops every member by SIGTERM.
    pub fn stop(&mut self) {
        for index in 0..self.members.len() {
            if let State::Up(_) = self.members[index].state {
                self.leave(index);
            }
        }
        for index in 0..self.members.len() {
            if let State::Leaving(program, since) = &mut self.members[index].state {
                let (code, since) = (program.wait(STOP_TIMEOUT), *since);
                self.left(index, code, since);
            }
        }
    }
}

fn in_ms(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}

/// The last lines of a log.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
