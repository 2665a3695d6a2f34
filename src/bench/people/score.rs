//! Clusters against the truth.

use std::{collections::HashMap, hash::Hash};

use serde::Serialize;

use super::People;

/// How good clusters are, pair by pair.
#[derive(Debug, Clone, Serialize)]
pub struct Scores {
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
    /// Clusters that hold records of more than one person.
    pub mixed_clusters: usize,
    pub twin_pairs: usize,
    /// Pairs of twins who share a cluster.
    pub twins_merged: usize,
    pub namesake_pairs: usize,
    pub namesakes_merged: usize,
}

/// Scores the clusters of the entries, in their order.
pub fn score<C: Copy + Eq + Hash>(people: &People, clusters: &[C]) -> Scores {
    let mut members: HashMap<C, Vec<u64>> = HashMap::new();
    let mut truth: HashMap<u64, Vec<C>> = HashMap::new();
    let mut both: HashMap<(u64, C), u64> = HashMap::new();
    for (entry, cluster) in people.entries.iter().zip(clusters) {
        members.entry(*cluster).or_default().push(entry.person);
        truth.entry(entry.person).or_default().push(*cluster);
        *both.entry((entry.person, *cluster)).or_default() += 1;
    }
    let right = pairs(both.values().copied());
    let precision = right / pairs(members.values().map(|list| list.len() as u64)).max(1.0);
    let recall = right / pairs(truth.values().map(|list| list.len() as u64)).max(1.0);
    let together = |(one, other): &&(u64, u64)| match (truth.get(one), truth.get(other)) {
        (Some(one), Some(other)) => one.iter().any(|cluster| other.contains(cluster)),
        _ => false,
    };
    let known =
        |pairs: &[(u64, u64)]| pairs.iter().filter(|(one, other)| truth.contains_key(one) && truth.contains_key(other)).count();
    Scores {
        precision,
        recall,
        f1: 2.0 * precision * recall / (precision + recall).max(f64::MIN_POSITIVE),
        mixed_clusters: members.values().filter(|list| list.iter().any(|person| *person != list[0])).count(),
        twin_pairs: known(&people.twins),
        twins_merged: people.twins.iter().filter(together).count(),
        namesake_pairs: known(&people.namesakes),
        namesakes_merged: people.namesakes.iter().filter(together).count(),
    }
}

/// How much two partitions of the same records are one: F1 over the pairs of records that each has together.
pub fn agreement<C: Copy + Eq + Hash>(one: &[C], other: &[C]) -> f64 {
    let (mut left, mut right, mut both) = (HashMap::new(), HashMap::new(), HashMap::new());
    for (one, other) in one.iter().zip(other) {
        *left.entry(*one).or_default() += 1;
        *right.entry(*other).or_default() += 1;
        *both.entry((*one, *other)).or_default() += 1;
    }
    2.0 * pairs(both.into_values()) / (pairs(left.into_values()) + pairs(right.into_values())).max(1.0)
}

#[allow(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^53")]
fn pairs(sizes: impl Iterator<Item = u64>) -> f64 {
    sizes.map(|size| size * (size - 1) / 2).sum::<u64>() as f64
}
