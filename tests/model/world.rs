//! Everything together: cluster, workers and network, what may happen next, and what must never happen.

use std::fmt;

use super::cluster::{Call, Cluster, Ending, Log, Membership, Name, Partition, Refusal, Request, State};
use super::search::Model;
use super::worker::{Mends, REQUESTS, Stage, Worker, repair};

/// What may go wrong, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// An EndTxn is held by the network and arrives later or never, after its client has repeated it or has given up.
    pub late_ends: u8,
    /// The same for another request.
    pub late_others: u8,
    pub crashes: u8,
    /// The group removes a living member: its session timed out.
    pub removals: u8,
    /// The group coordinator answers with an older position.
    pub stale_answers: u8,
    /// The transaction coordinator starts again and leaves out any of the markers that a committed transaction waits for.
    pub left_out_commits: u8,
    /// The same for an aborted transaction, unless it is a sweep.
    pub left_out_aborts: u8,
    pub left_out_sweeps: u8,
    /// An epoch is aborted for a reason outside of this model.
    pub aborts: u8,
    /// The transaction of a living worker times out.
    pub timeouts: u8,
    /// How many of all of these.
    pub total: u8,
}

/// The model: a program with these mends, under these faults.
pub struct Protocol {
    /// The workers; the first has the partition at the start.
    pub workers: &'static [Name],
    pub mends: Mends,
    pub faults: Faults,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub cluster: Cluster,
    workers: [Worker; 2],
    /// Requests that the network holds.
    held: Vec<Request>,
    /// The faults that are left.
    faults: Faults,
}

/// A step, with the worker that takes it or suffers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    // The program, its clients and the cluster, as they are meant to go.
    Call(Request, Result<(), Refusal>),
    Init(Name, Result<(), Refusal>),
    Join(Name),
    LookUp(Name, Option<u8>),
    NoticeLoss(Name),
    Start(Name),
    Marker(Name, Partition, Ending),
    Repair(Name),
    Retire(Name),
    // What may go wrong.
    Hold(Request),
    Arrive(Request, Result<(), Refusal>),
    GiveUp(Name),
    Abort(Name),
    Crash(Name),
    Remove(Name),
    TimeOut(Name),
    StaleAnswer(Name, Option<u8>),
    SkipMarker(Name, Partition),
}

impl Step {
    /// Whether this is bound to happen if nothing else does.
    fn is_due(self) -> bool {
        match self {
            Self::Call(..)
            | Self::Init(..)
            | Self::Join(_)
            | Self::LookUp(..)
            | Self::NoticeLoss(_)
            | Self::Start(_)
            | Self::Marker(..)
            | Self::Repair(_)
            | Self::Retire(_) => true,
            Self::Hold(_)
            | Self::Arrive(..)
            | Self::GiveUp(_)
            | Self::Abort(_)
            | Self::Crash(_)
            | Self::Remove(_)
            | Self::TimeOut(_)
            | Self::StaleAnswer(..)
            | Self::SkipMarker(..) => false,
        }
    }
}

impl Model for Protocol {
    type State = World;
    type Step = Step;

    fn start(&self) -> World {
        World {
            cluster: Cluster::new(self.workers),
            workers: [Worker::new(true), Worker::new(false)],
            held: Vec::new(),
            faults: self.faults,
        }
    }

    fn steps(&self, world: &World) -> Vec<(Step, World)> {
        let mut steps = Steps { world, mends: self.mends, found: Vec::new() };
        for &name in self.workers {
            steps.of_program(name);
            steps.of_cluster(name);
            steps.of_network(name);
        }
        for (index, &request) in world.held.iter().enumerate() {
            let mut next = world.clone();
            next.held.remove(index);
            let answer = next.cluster.handle(request);
            steps.add(Step::Arrive(request, answer), next);
        }
        steps.found
    }

    fn fault(&self, world: &World, steps: &[(Step, World)]) -> Option<String> {
        world.broken().or_else(|| {
            let is_at_rest = steps.iter().all(|(step, _)| !step.is_due());
            if is_at_rest { world.unfinished() } else { None }
        })
    }
}

impl World {
    /// What must never be so, not even for a moment.
    fn broken(&self) -> Option<String> {
        let outcomes = self.cluster.log(Partition::Outcomes);
        if outcomes.count(None) > 0 {
            return Some("readers see a record of a sweep".to_owned());
        }
        let position = self.position();
        (0..REQUESTS).find_map(|request| match outcomes.count(Some(request)) {
            0 if position > request
                && outcomes.entries.iter().all(|it| it.value != Some(request)) =>
            {
                Some(format!("request {request} is lost: the group is at {position}"))
            }
            0 | 1 => None,
            count => Some(format!("request {request} has {count} committed outcomes")),
        })
    }

    /// What must be done when nothing is left to do.
    fn unfinished(&self) -> Option<String> {
        if self.workers.iter().any(|worker| worker.stage == Stage::Standing) {
            return Some("the partition stands".to_owned());
        }
        if let Some(request) =
            (0..REQUESTS).find(|it| self.cluster.log(Partition::Outcomes).count(Some(*it)) != 1)
        {
            return Some(format!("request {request} is never answered"));
        }
        if !self.cluster.log(Partition::Outcomes).is_stable() {
            return Some("outcomes are hidden from readers for good".to_owned());
        }
        // A lost position of the group does not matter if the ledger has it.
        let ledger = self.cluster.log(Partition::Ledger).last();
        (ledger.max(Some(self.position())) != Some(REQUESTS))
            .then(|| "the position is not committed".to_owned())
    }

    fn position(&self) -> u8 {
        self.cluster.log(Partition::Offsets).last().unwrap_or(0)
    }

    /// Drops what can no longer make a difference, so that more states are the same.
    fn forget(&mut self) {
        let Self { cluster, workers, held, .. } = self;
        // A request of an earlier epoch does nothing, unless a transaction without markers hides that from a partition.
        held.retain(|request| {
            let is_open = cluster.logs.iter().any(|log| log.has_open(request.from));
            let stale = Membership::Stale;
            let epoch = cluster.transactions[request.from as usize].epoch;
            (is_open || request.epoch == epoch)
                && !matches!(request.call, Call::TxnOffsetCommit { membership, .. } if membership == stale)
        });
        for name in Name::ALL {
            let index = name as usize;
            let Worker { epoch: current, sequences, .. } = &mut workers[index];
            // Of epochs, the order counts: each becomes the number of those below it.
            let transaction = &mut cluster.transactions[index].epoch;
            let mut known: u32 = 1 << *transaction;
            known |= current.map_or(0, |it| 1 << it);
            let held_epochs = held.iter().filter(|it| it.from == name).map(|it| it.epoch);
            known |= held_epochs.fold(0, |all, it| all | 1 << it);
            known |= cluster.logs.iter().fold(0, |all, it| all | 1 << it.producers[index].0);
            let rank = |epoch: &mut u8| {
                let below = known & ((1 << *epoch) - 1);
                *epoch = u8::try_from(below.count_ones()).unwrap_or(u8::MAX);
            };
            rank(transaction);
            current.iter_mut().for_each(rank);
            held.iter_mut().filter(|it| it.from == name).for_each(|it| rank(&mut it.epoch));
            cluster.logs.iter_mut().for_each(|it| rank(&mut it.producers[index].0));
            // Of sequence numbers, the difference counts, if a request is held that has one.
            if held.iter().any(|it| matches!(it.call, Call::Produce { .. })) {
                continue;
            }
            for (log, sent) in cluster.logs.iter_mut().zip(sequences) {
                let (epoch, next) = &mut log.producers[index];
                *next = if Some(*epoch) == *current { *next - *sent } else { 0 };
                *sent = 0;
            }
        }
    }

    fn worker(&mut self, name: Name) -> &mut Worker {
        &mut self.workers[name as usize]
    }

    /// The worker makes the call of its stage, and the cluster answers.
    fn call(&mut self, name: Name, request: Request, mends: Mends) -> Result<(), Refusal> {
        let answer = self.cluster.handle(request);
        let is_member = self.cluster.members[name as usize];
        let worker = self.worker(name);
        worker.answered(answer, mends);
        worker.assigned &= is_member || answer != Err(Refusal::NotAMember);
        answer
    }

    /// The group has a new generation: what carries the old one is stale.
    fn new_generation(&mut self) {
        for worker in &mut self.workers {
            worker.membership = Membership::Stale;
        }
        for request in &mut self.held {
            if let Call::TxnOffsetCommit { membership: it @ Membership::Current, .. } =
                &mut request.call
            {
                *it = Membership::Stale;
            }
        }
    }

    fn join(&mut self, name: Name) {
        self.new_generation();
        self.cluster.members[name as usize] = true;
        self.cluster.owner.get_or_insert(name);
        let worker = self.worker(name);
        (worker.subscribed, worker.assigned) = (true, false);
    }

    fn remove(&mut self, name: Name) {
        self.new_generation();
        self.cluster.members[name as usize] = false;
        if self.cluster.owner == Some(name) {
            let other = name.other();
            self.cluster.owner = Some(other).filter(|it| self.cluster.members[*it as usize]);
        }
    }
}

/// Collects the steps from one state.
struct Steps<'a> {
    world: &'a World,
    mends: Mends,
    found: Vec<(Step, World)>,
}

impl Steps<'_> {
    fn add(&mut self, step: Step, mut next: World) {
        next.forget();
        if next != *self.world {
            self.found.push((step, next));
        }
    }

    fn change(&mut self, step: Step, change: impl FnOnce(&mut World)) {
        let mut next = self.world.clone();
        change(&mut next);
        self.add(step, next);
    }

    /// The same for a fault, if one of this kind is left.
    fn spend(
        &mut self,
        step: Step,
        kind: fn(&mut Faults) -> &mut u8,
        change: impl FnOnce(&mut World),
    ) {
        let mut faults = self.world.faults;
        if faults.total > 0 && *kind(&mut faults) > 0 {
            faults.total -= 1;
            *kind(&mut faults) -= 1;
            if faults.total == 0 {
                faults = Faults::default(); // so that more states are the same
            }
            self.change(step, |next| {
                next.faults = faults;
                change(next);
            });
        }
    }

    /// What the worker and its clients do.
    fn of_program(&mut self, name: Name) {
        let (mends, cluster) = (self.mends, &self.world.cluster);
        let worker = &self.world.workers[name as usize];
        let (is_member, is_owner) =
            (cluster.members[name as usize], cluster.owner == Some(name));
        match worker.stage {
            Stage::Dead => self.change(Step::Start(name), |next| next.worker(name).resume(mends)),
            Stage::Init => {
                let mut next = self.world.clone();
                let answer = next.cluster.init(name);
                if let Ok(epoch) = answer {
                    next.worker(name).initialized(epoch, mends);
                }
                self.add(Step::Init(name, answer.map(|_| ())), next);
            }
            Stage::Poll => {
                let waits = mends.markers_first
                    && cluster.logs.iter().any(|log| log.has_open(name))
                    && matches!(cluster.transactions[name as usize].state, State::Ended(_));
                if worker.assigned && worker.next < REQUESTS && !waits {
                    // Nothing that happens in between would make a difference: to begin is not a step.
                    let mut next = self.world.clone();
                    next.worker(name).begin(name, cluster);
                    self.call_in(&next, name);
                }
                if is_owner && mends.repair {
                    self.repair(name);
                }
                if worker.assigned && !is_owner {
                    self.change(Step::NoticeLoss(name), |next| next.worker(name).assigned = false);
                }
                if !worker.subscribed {
                    self.change(Step::Join(name), |next| next.join(name));
                }
                if worker.subscribed && is_owner && !worker.assigned {
                    self.look_up(name);
                }
            }
            Stage::Standing if is_owner => self.look_up(name),
            _ => self.call(name),
        }
        // The group's protocol goes on beside the worker's loop.
        if worker.subscribed && !is_member {
            self.change(Step::Join(name), |next| next.join(name));
        }
    }

    fn look_up(&mut self, name: Name) {
        let mends = self.mends;
        let cluster = &self.world.cluster;
        let current = cluster.log(Partition::Offsets).last();
        self.change(Step::LookUp(name, current), |next| {
            next.worker(name).look_up(cluster, current, mends);
        });
        for older in (0..current.unwrap_or(0)).map(|it| Some(it).filter(|it| *it > 0)) {
            self.spend(Step::StaleAnswer(name, older), |it| &mut it.stale_answers, |next| {
                next.worker(name).look_up(cluster, older, mends);
            });
        }
    }

    /// The owner of the partition ends what was left without markers, whoever wrote it.
    fn repair(&mut self, owner: Name) {
        for name in Name::ALL {
            // What a process committed itself says nothing about the transactions of another.
            let own = self.world.workers[owner as usize].own.filter(|_| name == owner);
            let mut next = self.world.clone();
            if let Some(epoch) = repair(&mut next.cluster, name, own, self.mends) {
                if name == owner {
                    next.worker(name).initialized(epoch, self.mends);
                }
                self.add(Step::Repair(name), next);
            }
        }
    }

    fn call_in(&mut self, world: &World, name: Name) {
        let mut steps = Steps { world, mends: self.mends, found: Vec::new() };
        steps.call(name);
        self.found.append(&mut steps.found);
    }

    fn call(&mut self, name: Name) {
        let mends = self.mends;
        let worker = &self.world.workers[name as usize];
        let Some(request) = worker.request(name, &self.world.cluster, mends) else { return };
        let mut next = self.world.clone();
        let answer = next.call(name, request, mends);
        if matches!(request.call, Call::AddPartitionsToTxn(_)) && answer.is_ok() {
            return self.call_in(&next, name); // one step with the record that follows
        }
        if answer != Err(Refusal::Busy) {
            self.add(Step::Call(request, answer), next);
        }
        let kind: fn(&mut Faults) -> &mut u8 = match request.call {
            Call::AddPartitionsToTxn(_) => return, // what goes wrong here also goes wrong at the record that follows
            Call::EndTxn(_) => |it| &mut it.late_ends,
            _ => |it| &mut it.late_others,
        };
        self.spend(Step::Hold(request), kind, |next| {
            next.held.push(request);
            let worker = next.worker(name);
            (worker.unanswered, worker.waits) = (true, true);
        });
        if worker.waits {
            self.change(Step::GiveUp(name), |next| {
                next.remove(name);
                next.worker(name).restart(mends);
            });
        }
        if worker.can_abort() {
            self.spend(Step::Abort(name), |it| &mut it.aborts, |next| {
                next.worker(name).stage = Stage::End(Ending::Abort);
                next.worker(name).waits = false;
            });
        }
    }

    /// What the coordinators do.
    fn of_cluster(&mut self, name: Name) {
        let cluster = &self.world.cluster;
        for (partition, ending) in cluster.unmarked(name) {
            self.change(Step::Marker(name, partition, ending), |next| {
                next.cluster.mark(name, partition, ending, true);
            });
            let leave_out = |next: &mut World| {
                next.cluster.transactions[name as usize].leaves_out = true;
                next.cluster.mark(name, partition, ending, false);
            };
            let step = Step::SkipMarker(name, partition);
            if cluster.transactions[name as usize].leaves_out {
                self.change(step, leave_out);
            } else {
                let sweeps = |log: &Log| log.entries.iter().any(|it| it.producer == name && it.value.is_none());
                let kind: fn(&mut Faults) -> &mut u8 = match ending {
                    Ending::Commit => |it| &mut it.left_out_commits,
                    Ending::Abort if cluster.logs.iter().any(sweeps) => |it| &mut it.left_out_sweeps,
                    Ending::Abort => |it| &mut it.left_out_aborts,
                };
                self.spend(step, kind, leave_out);
            }
        }
    }

    /// What happens to a process.
    fn of_network(&mut self, name: Name) {
        let is_up = self.world.workers[name as usize].is_up();
        let cluster = &self.world.cluster;
        let is_ongoing =
            cluster.transactions[name as usize].state == State::Ongoing;
        if is_up {
            self.spend(Step::Crash(name), |it| &mut it.crashes, |next| {
                *next.worker(name) = Worker::dead();
            });
            if is_ongoing {
                self.spend(Step::TimeOut(name), |it| &mut it.timeouts, |next| {
                    next.cluster.expire(name);
                });
            }
        } else if is_ongoing {
            self.change(Step::TimeOut(name), |next| next.cluster.expire(name));
        }
        if cluster.members[name as usize] {
            if is_up {
                self.spend(Step::Remove(name), |it| &mut it.removals, |next| next.remove(name));
            } else {
                self.change(Step::Retire(name), |next| next.remove(name));
            }
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Call(request, answer) => write!(f, "{request}: {}", Answer(answer)),
            Self::Init(name, Ok(_)) => write!(f, "{name:?} has a new producer"),
            Self::Init(name, Err(_)) => {
                write!(f, "{name:?} calls init_transactions; an earlier transaction is ended first")
            }
            Self::Join(name) => write!(f, "{name:?} joins the group"),
            Self::LookUp(name, position) => {
                write!(f, "{name:?} gets the partition; the group's position is {position:?}")
            }
            Self::NoticeLoss(name) => write!(f, "{name:?} notices that it lost the partition"),
            Self::Start(name) => write!(f, "{name:?} starts again"),
            Self::Marker(name, partition, ending) => {
                write!(f, "the coordinator writes {name:?}'s {ending:?} marker to {partition:?}")
            }
            Self::Repair(name) => write!(f, "{name:?}'s missing markers are repaired"),
            Self::Retire(name) => write!(f, "the group removes {name:?}, which is dead"),
            Self::Hold(request) => write!(f, "{request}: HELD by the network, no answer"),
            Self::Arrive(request, answer) => {
                write!(f, "the HELD request arrives, {request}: {}", Answer(answer))
            }
            Self::GiveUp(name) => write!(f, "{name:?} gives up and restarts with new clients"),
            Self::Abort(name) => write!(f, "{name:?} ABORTS its epoch"),
            Self::Crash(name) => write!(f, "{name:?} is KILLED"),
            Self::Remove(name) => write!(f, "the group REMOVES {name:?}, whose session timed out"),
            Self::TimeOut(name) => write!(f, "{name:?}'s transaction TIMES OUT"),
            Self::StaleAnswer(name, position) => {
                write!(f, "{name:?} gets the partition; the group answers with the OLD {position:?}")
            }
            Self::SkipMarker(name, partition) => {
                write!(f, "the coordinator LEAVES OUT {name:?}'s marker in {partition:?}")
            }
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}'s ", self.from)?;
        match self.call {
            Call::AddPartitionsToTxn(partition) => write!(f, "AddPartitionsToTxn, {partition:?}"),
            Call::Produce { partition, value: None, .. } => {
                write!(f, "Produce, a sweep's record to {partition:?}")
            }
            Call::Produce { partition: Partition::Ledger, value: Some(position), .. } => {
                write!(f, "Produce, the ledger's entry {position}")
            }
            Call::Produce { value: Some(request), .. } => {
                write!(f, "Produce, the outcome of request {request}")
            }
            Call::AddOffsetsToTxn => write!(f, "AddOffsetsToTxn"),
            Call::TxnOffsetCommit { position, membership } => {
                write!(f, "TxnOffsetCommit, position {position}, membership {membership:?}")
            }
            Call::EndTxn(ending) => write!(f, "EndTxn, {ending:?}"),
        }
    }
}

struct Answer(Result<(), Refusal>);

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ok(()) => write!(f, "done"),
            Err(refusal) => write!(f, "refused, {refusal:?}"),
        }
    }
}
