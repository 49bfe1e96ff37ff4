//! Divides the variants of a plan among several machines (`--shard`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use parallax_vocab::VariantId;

use super::cluster::Plan;
use super::typical;

/// The largest number of exchanges of scenarios between two parts. Each exchange makes the division better, so the loop
/// ends even without this limit. The limit bounds the time that the loop takes.
const EXCHANGES_LIMIT: usize = 200;

/// A scenario, whose variants all run on the same machine. There are two reasons: the time limit of a break depends on
/// how long the baseline took, and only a run of all variants shows which matchers are proven.
#[derive(Debug, Default)]
struct Unit<'a> {
    variants: BTreeSet<&'a VariantId>,
    took_ms: u64,
    /// The clusters that the scenario needs, as indexes of the plan.
    clusters: BTreeSet<usize>,
}

/// The part of a run that one machine runs.
#[derive(Clone, Debug, Default)]
struct Part {
    took_ms: u64,
    /// Maps the index of each cluster that this part needs to the number of scenarios in this part that need the
    /// cluster.
    clusters: BTreeMap<usize, usize>,
}

impl Part {
    fn add(mut self, unit: &Unit<'_>) -> Self {
        self.took_ms = self.took_ms.saturating_add(unit.took_ms);
        for cluster in &unit.clusters {
            *self.clusters.entry(*cluster).or_default() += 1;
        }
        self
    }

    fn remove(mut self, unit: &Unit<'_>) -> Self {
        self.took_ms = self.took_ms.saturating_sub(unit.took_ms);
        for cluster in &unit.clusters {
            if let Some(count) = self.clusters.get_mut(cluster) {
                *count -= 1;
            }
        }
        self.clusters.retain(|_, count| *count > 0);
        self
    }

    /// The expected duration of the part, in milliseconds. It includes the start of each cluster that the part needs.
    /// Therefore a division is better if the scenarios of one cluster are in the same part.
    fn load(&self) -> u128 {
        let starts = u64::try_from(self.clusters.len()).unwrap_or(u64::MAX);
        self.took_ms.saturating_add(starts.saturating_mul(typical::START_MS)).into()
    }
}

/// The sum of the squares of two parts' durations, a measure for a bad division. The result is smaller if the two
/// durations are closer to each other, or if the sum of the durations is smaller.
fn unevenness(one: &Part, other: &Part) -> u128 {
    let square = |part: &Part| part.load().saturating_mul(part.load());
    square(one).saturating_add(square(other))
}

impl Plan {
    /// Divides the variants into `parts` parts of about the same expected duration. No part is empty if there are as
    /// many scenarios as parts.
    ///
    /// All machines compute the same division without communication. Therefore the division uses typical durations,
    /// which are estimated from the steps. It does not use the recorded durations of earlier runs, because they differ
    /// from machine to machine.
    pub fn parts(&self, parts: usize) -> Vec<BTreeSet<VariantId>> {
        let units = self.units();
        let mut all = vec![Part::default(); parts];
        let mut places = Vec::with_capacity(units.len());
        for unit in &units {
            let loads = all.iter().map(|part| part.clone().add(unit).load());
            let Some((place, _)) = loads.enumerate().min_by_key(|(_, load)| *load) else { break };
            all[place] = std::mem::take(&mut all[place]).add(unit);
            places.push(place);
        }
        for _ in 0..EXCHANGES_LIMIT {
            if !exchange(&units, &mut places, &mut all) {
                break;
            }
        }
        let mut divided = vec![BTreeSet::new(); parts];
        for (unit, place) in units.iter().zip(places) {
            divided[place].extend(unit.variants.iter().map(|&it| it.clone()));
        }
        divided
    }

    /// The scenarios, the longest first. They are assigned to parts in this order, so that the short scenarios can fill
    /// up the shorter parts at the end.
    fn units(&self) -> Vec<Unit<'_>> {
        let mut units: BTreeMap<&str, Unit<'_>> = BTreeMap::new();
        for (number, cluster) in self.clusters.iter().enumerate() {
            for environment in &cluster.environments {
                let Some(first) = environment.variants.first() else { continue };
                let unit = units.entry(first.id.scenario()).or_default();
                unit.variants.extend(environment.variants.iter().map(|it| &it.id));
                unit.took_ms = unit.took_ms.saturating_add(typical::took(environment));
                unit.clusters.insert(number);
            }
        }
        let mut units: Vec<Unit<'_>> = units.into_values().collect();
        // The sort is stable: scenarios of equal duration stay in the order of their names, which is the same on all
        // machines.
        units.sort_by_key(|unit| Reverse(unit.took_ms));
        units
    }
}

/// Exchanges two scenarios of different parts, if this makes the durations of these parts more equal or shorter.
/// Returns whether two scenarios were exchanged.
fn exchange(units: &[Unit<'_>], places: &mut [usize], parts: &mut [Part]) -> bool {
    for one in 0..units.len() {
        for other in one + 1..units.len() {
            let (here, there) = (places[one], places[other]);
            if here == there {
                continue;
            }
            let mine = parts[here].clone().remove(&units[one]).add(&units[other]);
            let theirs = parts[there].clone().remove(&units[other]).add(&units[one]);
            if unevenness(&mine, &theirs) < unevenness(&parts[here], &parts[there]) {
                (parts[here], parts[there]) = (mine, theirs);
                places.swap(one, other);
                return true;
            }
        }
    }
    false
}
