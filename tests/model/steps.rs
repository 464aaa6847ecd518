//! What may happen next in a world.

use super::cluster::{Call, Ending, Name, Partition, Refusal, State};
use super::worker::{REQUESTS, Safeguards, Stage, Worker};
use super::world::{Faults, Step, World};

/// Collects the steps from one state.
pub struct Steps<'a> {
    world: &'a World,
    safeguards: Safeguards,
    pub found: Vec<(Step, World)>,
}

impl<'a> Steps<'a> {
    pub fn new(world: &'a World, safeguards: Safeguards) -> Self {
        Self { world, safeguards, found: Vec::new() }
    }

    pub fn add(&mut self, step: Step, mut next: World) {
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
    pub fn of_program(&mut self, name: Name) {
        let (safeguards, cluster) = (self.safeguards, &self.world.cluster);
        let worker = &self.world.workers[name as usize];
        let (is_member, is_owner) = (cluster.members[name as usize], cluster.owner == Some(name));
        match worker.stage {
            Stage::Dead if worker.is_gone => {}
            Stage::Dead => {
                self.change(Step::Start(name), |next| next.worker(name).resume(safeguards));
            }
            Stage::Init => {
                let mut next = self.world.clone();
                let ending = worker.known.or_else(|| cluster.ending(name));
                let ending = ending.filter(|_| safeguards.settle);
                let answer = next.cluster.init(name);
                if let Ok(epoch) = answer {
                    // One step: a crash in between would make the coordinator forget the ending.
                    if let Some(ending) = ending {
                        next.cluster.settle(name, ending);
                    }
                    next.worker(name).initialized(epoch, safeguards);
                }
                self.add(Step::Init(name, answer.map(|_| ())), next);
            }
            Stage::Poll => {
                let is_renewed = safeguards.renewed_producer && worker.doubtful;
                if is_renewed {
                    self.change(Step::Renew(name), |next| {
                        next.worker(name).epoch = None;
                        next.worker(name).resume(safeguards);
                    });
                }
                if worker.assigned && worker.next < REQUESTS && !is_renewed {
                    self.change(Step::Begin(name), |next| next.worker(name).begin(name, cluster));
                }
                if is_owner && safeguards.take_over {
                    self.take_over(name.other());
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
            _ if safeguards.held_back_begin && worker.must_hold_back() => {
                self.change(Step::HoldBack(name), |next| next.worker(name).hold_back(safeguards));
            }
            _ => self.call(name),
        }
        // The group's protocol goes on beside the worker's loop.
        if worker.subscribed && !is_member {
            self.change(Step::Join(name), |next| next.join(name));
        }
    }

    fn look_up(&mut self, name: Name) {
        let safeguards = self.safeguards;
        let cluster = &self.world.cluster;
        let current = cluster.log(Partition::Offsets).last();
        self.change(Step::LookUp(name, current), |next| {
            next.worker(name).look_up(cluster, current, safeguards);
        });
        for older in (0..current.unwrap_or(0)).map(|it| Some(it).filter(|it| *it > 0)) {
            self.spend(
                Step::StaleAnswer(name, older),
                |it| &mut it.stale_answers,
                |next| {
                    next.worker(name).look_up(cluster, older, safeguards);
                },
            );
        }
    }

    /// The owner of the partition ends a dead producer's transaction again.
    fn take_over(&mut self, name: Name) {
        let cluster = &self.world.cluster;
        let is_ended = matches!(cluster.transactions[name as usize].state, State::Ended(_));
        let is_open = cluster.logs.iter().any(|log| log.has_open(name));
        let is_dead = !self.world.workers[name as usize].is_up();
        if is_dead
            && is_ended
            && is_open
            && let Some(ending) = cluster.ending(name)
        {
            let mut next = self.world.clone();
            if next.cluster.init(name).is_ok() {
                next.cluster.settle(name, ending);
                self.add(Step::TakeOver(name), next);
            }
        }
    }

    fn call_in(&mut self, world: &World, name: Name) {
        let mut steps = Steps::new(world, self.safeguards);
        steps.call(name);
        self.found.append(&mut steps.found);
    }

    fn call(&mut self, name: Name) {
        let safeguards = self.safeguards;
        let worker = &self.world.workers[name as usize];
        let Some(request) = worker.request(name, &self.world.cluster, safeguards) else { return };
        let mut next = self.world.clone();
        let answer = next.call(name, request, safeguards);
        if matches!(request.call, Call::AddPartitionsToTxn(_)) && answer.is_ok() {
            self.call_in(&next, name); // one step with the record that follows
        } else if answer != Err(Refusal::Busy) {
            self.add(Step::Call(request, answer), next);
        }
        let kind: fn(&mut Faults) -> &mut u8 = match request.call {
            Call::EndTxn(_) => |it| &mut it.late_ends,
            Call::AddPartitionsToTxn(_) => |it| &mut it.late_additions,
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
                next.worker(name).restart(safeguards);
            });
        }
        if worker.can_abort() {
            self.spend(
                Step::Abort(name),
                |it| &mut it.aborts,
                |next| {
                    next.worker(name).stage = Stage::End(Ending::Abort);
                    next.worker(name).waits = false;
                },
            );
        }
    }

    /// What the coordinators do.
    pub fn of_cluster(&mut self, name: Name) {
        let cluster = &self.world.cluster;
        for (partition, ending) in cluster.unmarked(name) {
            self.change(Step::Marker(name, partition, ending), |next| {
                next.cluster.mark(name, partition, ending, true);
            });
            let leave_out = |next: &mut World| {
                next.cluster.transactions[name as usize].leaves_out = true;
                next.worker(name).doubtful = next.workers[name as usize].is_up();
                // Its process is a new one, to which no earlier connection leads.
                next.held.retain(|it| !it.is_of_coordinator());
                next.cluster.mark(name, partition, ending, false);
            };
            let step = Step::SkipMarker(name, partition);
            if cluster.transactions[name as usize].leaves_out {
                self.change(step, leave_out);
            } else {
                let kind: fn(&mut Faults) -> &mut u8 = match ending {
                    Ending::Commit => |it| &mut it.left_out_commits,
                    Ending::Abort => |it| &mut it.left_out_aborts,
                };
                self.spend(step, kind, leave_out);
            }
        }
    }

    /// What happens to a process.
    pub fn of_network(&mut self, name: Name) {
        let is_up = self.world.workers[name as usize].is_up();
        let cluster = &self.world.cluster;
        let is_ongoing = cluster.transactions[name as usize].state == State::Ongoing;
        if is_up {
            self.spend(
                Step::Crash(name),
                |it| &mut it.crashes,
                |next| {
                    *next.worker(name) = Worker::dead();
                },
            );
            self.spend(
                Step::Die(name),
                |it| &mut it.deaths,
                |next| {
                    *next.worker(name) = Worker::dead();
                    next.worker(name).is_gone = true;
                },
            );
            if is_ongoing {
                self.spend(
                    Step::TimeOut(name),
                    |it| &mut it.timeouts,
                    |next| {
                        next.cluster.expire(name);
                    },
                );
            }
        } else if is_ongoing {
            self.change(Step::Expire(name), |next| next.cluster.expire(name));
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
