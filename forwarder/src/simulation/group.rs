//! Who reads which partition: a group that moves its partitions whenever a member comes or goes.

use std::collections::BTreeSet;

/// A member of the group; a process that starts again is another one.
pub type MemberId = u64;

#[derive(Default)]
pub struct Group {
    members: BTreeSet<MemberId>,
    owners: Vec<Option<MemberId>>,
    last: MemberId,
}

impl Group {
    pub fn of(partitions: usize) -> Self {
        Self { owners: vec![None; partitions], ..Self::default() }
    }

    pub fn join(&mut self) -> MemberId {
        self.last += 1;
        self.members.insert(self.last);
        self.last
    }

    /// One that was put out comes back.
    pub fn join_again(&mut self, member: MemberId) {
        self.members.insert(member);
    }

    /// It left, or was not heard of for too long: what it owned is free.
    pub fn leave(&mut self, member: MemberId) {
        self.members.remove(&member);
        self.owners.iter_mut().filter(|owner| **owner == Some(member)).for_each(|o| *o = None);
    }

    pub fn has(&self, member: MemberId) -> bool {
        self.members.contains(&member)
    }

    pub fn owns(&self, member: MemberId, partition: u32) -> bool {
        self.owners[partition as usize] == Some(member)
    }

    /// Whether the partition is this member's by right, whoever owns it still.
    pub fn is_meant(&self, member: MemberId, partition: u32) -> bool {
        let turn = partition as usize % self.members.len().max(1);
        self.members.iter().nth(turn) == Some(&member)
    }

    pub fn release(&mut self, member: MemberId, partition: u32) {
        if self.owns(member, partition) {
            self.owners[partition as usize] = None;
        }
    }

    /// The free partitions that are meant for this member; it owns them from now on.
    pub fn take(&mut self, member: MemberId) -> Vec<u32> {
        let all = 0..self.owners.len() as u32;
        let free = |p: &u32| self.owners[*p as usize].is_none() && self.is_meant(member, *p);
        let taken: Vec<u32> = all.filter(free).collect();
        taken.iter().for_each(|p| self.owners[*p as usize] = Some(member));
        taken
    }
}
