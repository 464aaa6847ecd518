//! Everything together: cluster, workers and network, what may happen next, and what must never happen.

use super::cluster::{Call, Cluster, Ending, Membership, Name, Partition, Refusal, Request};
use super::search::Model;
use super::steps::Steps;
use super::worker::{REQUESTS, Safeguards, Stage, Worker};

/// What may go wrong, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// An `EndTxn` is held by the network and arrives later or never, after its client has repeated it or has given up.
    pub late_ends: u8,
    /// The same for an `AddPartitionsToTxn`.
    pub late_additions: u8,
    /// The same for another request.
    pub late_others: u8,
    pub crashes: u8,
    /// A process dies for good: a dynamic member, whose successor has another name.
    pub deaths: u8,
    /// The group removes a living member: its session timed out.
    pub removals: u8,
    /// The group coordinator answers with an older position.
    pub stale_answers: u8,
    /// The transaction coordinator starts again and leaves out any of the markers that a committed transaction waits for.
    pub left_out_commits: u8,
    /// The same for an aborted transaction.
    pub left_out_aborts: u8,
    /// An epoch is aborted for a reason outside of this model.
    pub aborts: u8,
    /// The transaction of a living worker times out.
    pub timeouts: u8,
    /// How many of all of these.
    pub total: u8,
}

/// The model: a program with these safeguards, under these faults.
pub struct Protocol {
    /// The workers; the first has the partition at the start.
    pub workers: &'static [Name],
    pub safeguards: Safeguards,
    pub faults: Faults,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub cluster: Cluster,
    pub workers: [Worker; 2],
    /// Requests that the network holds.
    pub held: Vec<Request>,
    /// The faults that are left.
    pub faults: Faults,
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
    Begin(Name),
    HoldBack(Name),
    Marker(Name, Partition, Ending),
    TakeOver(Name),
    Renew(Name),
    Retire(Name),
    Expire(Name),
    // What may go wrong.
    Hold(Request),
    Arrive(Request, Result<(), Refusal>),
    GiveUp(Name),
    Abort(Name),
    Crash(Name),
    Die(Name),
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
            | Self::Begin(_)
            | Self::HoldBack(_)
            | Self::Marker(..)
            | Self::TakeOver(_)
            | Self::Renew(_)
            | Self::Retire(_)
            | Self::Expire(_) => true,
            Self::Hold(_)
            | Self::Arrive(..)
            | Self::GiveUp(_)
            | Self::Abort(_)
            | Self::Crash(_)
            | Self::Die(_)
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
        let mut steps = Steps::new(world, self.safeguards);
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
        let position = self.position();
        (0..REQUESTS).find_map(|request| match outcomes.count(request) {
            0 if position > request && outcomes.entries.iter().all(|it| it.value != request) => {
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
            (0..REQUESTS).find(|it| self.cluster.log(Partition::Outcomes).count(*it) != 1)
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
    pub fn forget(&mut self) {
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

    pub fn worker(&mut self, name: Name) -> &mut Worker {
        &mut self.workers[name as usize]
    }

    /// The worker makes the call of its stage, and the cluster answers.
    pub fn call(
        &mut self,
        name: Name,
        request: Request,
        safeguards: Safeguards,
    ) -> Result<(), Refusal> {
        let answer = self.cluster.handle(request);
        let is_member = self.cluster.members[name as usize];
        let worker = self.worker(name);
        worker.answered(answer, safeguards);
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

    pub fn join(&mut self, name: Name) {
        self.new_generation();
        self.cluster.members[name as usize] = true;
        self.cluster.owner.get_or_insert(name);
        let worker = self.worker(name);
        (worker.subscribed, worker.assigned) = (true, false);
    }

    pub fn remove(&mut self, name: Name) {
        self.new_generation();
        self.cluster.members[name as usize] = false;
        if self.cluster.owner == Some(name) {
            let other = name.other();
            self.cluster.owner = Some(other).filter(|it| self.cluster.members[*it as usize]);
        }
    }
}
