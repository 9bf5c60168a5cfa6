//! The keeper: the task that renews the lease, agrees to openings, opens the fence, and removes nodes that have ended.

use std::{collections::HashMap, sync::Arc, time::Duration};

use kvstore_types::limits::{CACHE_LOOK_MS, CACHE_PATIENCE_MS_MAX, CACHE_PATIENCE_MS_MIN, CACHE_STUCK_MS};

use super::{
    authority::{Agreement, Fence, NodeId, Turn},
    config::CacheMode,
    fencing::{Agreed, Unresolved},
    guard::Guard,
    link::Link,
};
use crate::ticks::Ticks;

/// Keeps the fence for a node, for ever.
pub(super) async fn keep(guard: Arc<Guard>) {
    let mut keeper = Keeper { guard, standing: HashMap::new(), opened: None, closed_since: None, patience: Duration::ZERO, told: false };
    loop {
        let renewed = Arc::clone(&keeper.guard.links);
        let renewed = renewed.renewed.notified();
        keeper.turn().await;
        keeper.guard.metrics.state(keeper.guard.state());
        // Woken early where there is a new link, since it may be of another instance.
        let _ = tokio::time::timeout(Duration::from_millis(CACHE_LOOK_MS), renewed).await;
    }
}

struct Keeper {
    guard: Arc<Guard>,
    /// The beats of other nodes, and since when they have stood still.
    standing: HashMap<NodeId, (u64, Ticks)>,
    /// When the fence was seen to be open, and since when it is closed.
    opened: Option<Ticks>,
    closed_since: Option<Ticks>,
    /// How long it stays closed at least: longer each time, where it does not stay open for long.
    patience: Duration,
    told: bool,
}

impl Keeper {
    /// An authority that does not answer is no fault of the cache: the lease ends by itself, and the next turn comes.
    async fn turn(&mut self) {
        let guard = Arc::clone(&self.guard);
        let closed = guard.lease.get().is_none_or(|lease| !lease.fence.open);
        let due = guard.since_beat().is_none_or(|age| age > guard.times.lapse / 4);
        let link = guard.links.current();
        if guard.mode == CacheMode::Validate {
            // This node's writes set no marks, so the fence must be closed for as long as it lives.
            if due && guard.take(Turn::Beat { agreed: None }).await.is_ok() {
                self.close().await;
            }
            return;
        }
        let beats = due || (closed && link.is_some());
        let turn = if beats { Turn::Beat { agreed: guard.fencing.agreement() } } else { Turn::Look };
        let Ok(fence) = guard.take(turn).await else { return };
        let Some(link) = link else { return };
        if fence.open {
            self.saw_open();
            if *fence.instance == *link.instance {
                guard.links.say_on()
            } else {
                self.close().await
            }
            return;
        }
        if self.saw_closed() {
            self.reopen(&link, &fence).await;
        }
    }

    async fn close(&self) {
        if let Ok((write, _)) = self.guard.close_for(None).await {
            self.guard.fencing.ended(write);
        }
    }

    /// Agrees, and opens the fence if all have agreed.
    async fn reopen(&mut self, link: &Arc<Link>, fence: &Fence) {
        let guard = Arc::clone(&self.guard);
        let agreement = Agreement { epoch: fence.epoch, instance: link.instance.to_string() };
        match guard.fencing.agree(&agreement, Ticks::now()) {
            Agreed::Yes => {}
            Agreed::NotYet => return,
            Agreed::Otherwise => return self.close().await,
            Agreed::MarkFirst(unresolved) => {
                self.mark_again(link, &unresolved).await;
                return;
            }
        }
        let Ok(fence) = guard.take(Turn::Beat { agreed: Some(agreement.clone()) }).await else { return };
        if fence.open || fence.epoch != agreement.epoch {
            return;
        }
        let waits_for: Vec<_> = fence.nodes.iter().filter(|node| node.agreed.as_ref() != Some(&agreement)).collect();
        if waits_for.is_empty() {
            if let Ok(fence) = guard.take(Turn::Open(agreement)).await
                && fence.open
            {
                self.saw_open();
                guard.links.say_on();
            }
            return;
        }
        let waits_for: Vec<_> = waits_for.into_iter().map(|node| (node.node, node.beats)).collect();
        self.remove_ended(&waits_for).await;
    }

    /// Writes whose outcome is not known keep their keys from being cached, here as they did there.
    async fn mark_again(&self, link: &Arc<Link>, unresolved: &[Unresolved]) {
        for one in unresolved {
            if !self.guard.mark(link, &one.keys, &self.guard.names.next()).await {
                return;
            }
        }
        self.guard.fencing.marked_again(unresolved, &link.instance);
    }

    /// Removes nodes whose beats have stood still for so long that none of their writes can be under way.
    async fn remove_ended(&mut self, waits_for: &[(NodeId, u64)]) {
        let now = Ticks::now();
        self.standing.retain(|node, _| waits_for.iter().any(|(other, _)| other == node));
        for (node, beats) in waits_for {
            let seen = self.standing.entry(*node).or_insert((*beats, now));
            if seen.0 != *beats {
                *seen = (*beats, now);
            }
            if seen.1.until(now) > self.guard.times.removal {
                // The next turn shows what came of it.
                let _ = self.guard.take(Turn::Remove { node: *node, beats: *beats }).await;
            }
        }
    }

    fn saw_open(&mut self) {
        self.closed_since = None;
        self.told = false;
        self.opened.get_or_insert_with(Ticks::now);
    }

    /// Gives whether it is time to open. A Redis that fails again and again must not cost a wait for leases each time.
    fn saw_closed(&mut self) -> bool {
        if let Some(opened) = self.opened.take() {
            let (least, most) = (Duration::from_millis(CACHE_PATIENCE_MS_MIN), Duration::from_millis(CACHE_PATIENCE_MS_MAX));
            let soon = opened.elapsed() < most;
            self.patience = if soon { (self.patience * 2).clamp(least, most) } else { Duration::ZERO };
        }
        let since = self.closed_since.get_or_insert_with(Ticks::now).elapsed();
        if !self.told && since > self.patience + Duration::from_millis(CACHE_STUCK_MS) {
            self.told = true;
            tracing::warn!("the cache stays closed: another node of this store does not use this Redis, or ended without a farewell");
        }
        since >= self.patience
    }
}
