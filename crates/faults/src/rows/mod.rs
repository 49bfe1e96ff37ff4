//! All rows of the table of faults, in the order of the table.

mod beside;
mod disk;
mod engine;
mod killed;
mod node;
mod registry;
mod store;

use crate::row::Row;

/// Returns every row of the table of faults.
pub(crate) fn all() -> Vec<Row> {
    let mut rows = Vec::new();
    rows.extend(killed::rows());
    rows.extend(engine::rows());
    rows.extend(node::rows());
    rows.extend(store::rows());
    rows.extend(disk::rows());
    rows.extend(registry::rows());
    rows.extend(beside::rows());
    rows
}

/// The smallest scenario with a cluster.
pub(crate) const SMALLEST: &str = r"name: smallest
summary: The default namespace is there
flow:
  - { id: seen, resource: { api-version: v1, kind: Namespace, name: default }, expect: { object: { kind: Namespace } } }
";

/// A scenario whose flow waits until the run is ended from outside.
pub(crate) const HELD: &str = r"name: held
summary: A flow that waits until the run is ended
flow:
  - { id: begun, resource: { api-version: v1, kind: Namespace, name: default }, expect: { object: { kind: Namespace } } }
  - { id: gate, resource: { api-version: v1, kind: ConfigMap, name: gate }, eventually: 5m, expect: { object: { kind: ConfigMap } } }
";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn no_two_rows_have_one_name() {
        let rows = super::all();
        let names: BTreeSet<&str> = rows.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), rows.len());
    }
}
