//! Selects variants by names, patterns and labels. All functions here are pure.

mod glob;

use std::collections::BTreeSet;

use parallax_vocab::VariantId;

use self::glob::glob;

/// The reason why a selection contains no variant.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A filter matches no scenario and no break.
    #[error("`{filter}` matches no scenario{}; `parallax list` shows all {known}", did_you_mean(nearest))]
    NoScenario {
        /// The filter that the user gave.
        filter: String,
        /// The names of scenarios, areas or breaks that are most similar to the filter, best first. The list is empty
        /// if no name is similar.
        nearest: Vec<String>,
        /// The number of scenarios in the project.
        known: usize,
    },
    /// None of the chosen scenarios has a break with this name.
    #[error("none of the scenarios chosen has a break `{name}`{}", did_you_mean(nearest))]
    NoBreak {
        /// The name that the user gave.
        name: String,
        /// The names of breaks that are most similar to the given name, best first. If there are only a few breaks, the
        /// list contains all their names.
        nearest: Vec<String>,
    },
    /// No scenario has the label.
    #[error("no scenario has the label `{label}`{}", did_you_mean(nearest))]
    NoLabel {
        /// The label that the user gave, without `!`.
        label: String,
        /// The most similar labels, best first. If there are only a few labels, the list contains all of them.
        nearest: Vec<String>,
    },
    /// The project has no fixture of this name that is a store.
    #[error("there is no store `{store}`; the stores are `{}`", known.join("`, `"))]
    NoStore {
        /// The store that the user gave.
        store: String,
        /// The names of all fixtures of the project that are stores.
        known: Vec<String>,
    },
    /// One option leaves out everything that another option selects.
    #[error("nothing is left to do: {because}")]
    NothingLeft {
        /// The end of the error message. It names the option that leaves everything out.
        because: &'static str,
    },
    /// The project has no scenario.
    #[error(
        "there are no scenarios here: a scenario is scenarios/AREA/NAME/scenario.yaml; is this the project's folder (--project)?"
    )]
    Nothing,
}

fn did_you_mean(nearest: &[String]) -> String {
    match nearest {
        [] => String::new(),
        [only] => format!(" (did you mean `{only}`?)"),
        many => format!(" (did you mean one of `{}`?)", many.join("`, `")),
    }
}

/// The largest number of names that a message suggests.
const SUGGESTED: usize = 3;
/// The least similarity at which a name is suggested: 0 means completely different, 1 means equal.
const SIMILAR: f64 = 0.55;

/// A variant with the properties by which it can be selected.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// The variant's id.
    pub id: &'a VariantId,
    /// The labels of the variant's scenario.
    pub labels: &'a [String],
    /// The names of the fixtures that the variant uses.
    pub fixtures: Vec<&'a str>,
}

/// The options that select variants. A variant is selected only if it satisfies all of them.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// The filters that the user gave: names, paths and patterns. A variant must match one of them. If the list is
    /// empty, every variant matches.
    pub filters: Vec<String>,
    /// The labels that the user gave. A variant must have one of the labels without `!`, and none of the labels with
    /// `!`.
    pub labels: Vec<String>,
    /// The names of stores' fixtures that the user gave. A variant must use one of them. If the list is empty, every
    /// variant matches.
    pub stores: Vec<String>,
    /// The names or patterns of breaks that the user gave. If the list is not empty, only breaks that match are
    /// selected.
    pub only_breaks: Vec<String>,
    /// The breaks that are left out, even if they satisfy the other options.
    pub without: Without,
    /// The variants to which `--failed` restricts the selection: those that failed in the last run, ended with an
    /// error, or did not run. `None` without `--failed`.
    pub red: Option<BTreeSet<VariantId>>,
}

/// The breaks that a selection leaves out.
#[derive(Clone, Debug, Default)]
pub enum Without {
    /// No break is left out.
    #[default]
    Nothing,
    /// All breaks are left out; baselines are kept.
    AllBreaks,
    /// The breaks in this set are left out.
    These(BTreeSet<VariantId>),
}

impl Without {
    fn leaves_out(&self, variant: &VariantId) -> bool {
        match self {
            Self::Nothing => false,
            Self::AllBreaks => variant.change().is_some(),
            Self::These(these) => these.contains(variant),
        }
    }
}

/// Returns the variants that the query selects, in the order of `variants`.
///
/// # Errors
///
/// Fails if a filter, label or break matches nothing, or if no variant remains.
pub fn select(query: &Query, variants: &[Candidate<'_>]) -> Result<Vec<VariantId>, FilterError> {
    if variants.is_empty() {
        return Err(FilterError::Nothing);
    }
    for filter in &query.filters {
        if !variants.iter().any(|variant| matches(filter, variant.id)) {
            return Err(no_scenario(filter, variants));
        }
    }
    let chosen = variants
        .iter()
        .filter(|it| query.filters.is_empty() || query.filters.iter().any(|filter| matches(filter, it.id)))
        .collect::<Vec<_>>();
    let chosen = labelled(&query.labels, chosen, variants)?;
    let chosen = of_stores(&query.stores, chosen)?;
    let chosen = of_breaks(&query.only_breaks, chosen)?;
    let chosen: Vec<&VariantId> = chosen.into_iter().map(|it| it.id).collect();
    let Some(red) = &query.red else {
        return left(chosen.into_iter().filter(|id| !query.without.leaves_out(id)), "--breaks leaves out all of it");
    };
    let red = chosen.into_iter().filter(|id| red.contains(*id));
    left(
        red.filter(|id| !query.without.leaves_out(id)),
        "nothing of it was red in the last run; without --failed all of it runs",
    )
}

fn left<'a>(ids: impl Iterator<Item = &'a VariantId>, because: &'static str) -> Result<Vec<VariantId>, FilterError> {
    let ids: Vec<VariantId> = ids.cloned().collect();
    if ids.is_empty() { Err(FilterError::NothingLeft { because }) } else { Ok(ids) }
}

/// Returns the variants of `chosen` whose labels satisfy `asked` (see [`has_labels`]). Fails if `asked` contains a
/// label that no variant of the project has, or if no variant remains.
fn labelled<'a, 'b>(
    asked: &[String],
    chosen: Vec<&'a Candidate<'b>>,
    all: &[Candidate<'_>],
) -> Result<Vec<&'a Candidate<'b>>, FilterError> {
    let known: BTreeSet<&str> = all.iter().flat_map(|it| it.labels).map(String::as_str).collect();
    let unknown = asked.iter().map(|label| plain(label)).find(|label| !known.contains(label));
    if let Some(label) = unknown {
        let nearest = nearest(label, known.into_iter(), 0.0);
        return Err(FilterError::NoLabel { label: label.to_owned(), nearest });
    }
    let chosen: Vec<_> = chosen.into_iter().filter(|it| has_labels(asked, it.labels)).collect();
    if chosen.is_empty() {
        Err(FilterError::NothingLeft { because: "the labels leave out all of it" })
    } else {
        Ok(chosen)
    }
}

/// Returns the variants of `chosen` that use one of `stores`. If `stores` is empty, returns all of `chosen`. Fails if
/// no variant remains.
fn of_stores<'a, 'b>(
    stores: &[String],
    mut chosen: Vec<&'a Candidate<'b>>,
) -> Result<Vec<&'a Candidate<'b>>, FilterError> {
    chosen.retain(|it| stores.is_empty() || stores.iter().any(|store| it.fixtures.contains(&store.as_str())));
    if chosen.is_empty() {
        Err(FilterError::NothingLeft { because: "none of it uses one of these stores" })
    } else {
        Ok(chosen)
    }
}

/// Whether a scenario's labels satisfy the labels that the user asked for. The scenario needs one of the labels without
/// `!`, and must have none of the labels with `!`.
pub fn has_labels(asked: &[String], labels: &[String]) -> bool {
    let has = |label: &str| labels.iter().any(|it| it == label);
    let (without, with): (Vec<&String>, Vec<&String>) = asked.iter().partition(|label| label.starts_with('!'));
    (with.is_empty() || with.iter().any(|label| has(label))) && !without.iter().any(|label| has(plain(label)))
}

fn plain(label: &str) -> &str {
    label.strip_prefix('!').unwrap_or(label)
}

/// Returns the breaks of `chosen` whose names match one of `names`. If `names` is empty, returns all of `chosen`. Fails
/// if one of `names` matches no break.
fn of_breaks<'a, 'b>(names: &[String], chosen: Vec<&'a Candidate<'b>>) -> Result<Vec<&'a Candidate<'b>>, FilterError> {
    if names.is_empty() {
        return Ok(chosen);
    }
    let is = |name: &str, it: &Candidate<'_>| it.id.change().is_some_and(|its| glob(name, its));
    if let Some(name) = names.iter().find(|name| !chosen.iter().any(|it| is(name, it))) {
        let known = chosen.iter().filter_map(|it| it.id.change());
        return Err(FilterError::NoBreak { name: name.clone(), nearest: nearest(name, known, 0.0) });
    }
    Ok(chosen.into_iter().filter(|it| names.iter().any(|name| is(name, it))).collect())
}

/// Whether a filter selects a scenario or some of its breaks. Only the part of the filter before `+` is compared,
/// because the names of the breaks are not known here. `scenario` is the path of the scenario below `scenarios/`.
pub fn means(filter: &str, scenario: &str) -> bool {
    let of = filter.split_once('+').map_or(filter, |(of, _)| of);
    matches(of, &VariantId::new(scenario))
}

fn matches(filter: &str, variant: &VariantId) -> bool {
    let filter = filter.trim_end_matches('/');
    let filter = filter.strip_prefix("./").unwrap_or(filter);
    let filter = filter.strip_prefix("scenarios/").unwrap_or(filter);
    let filter = filter.strip_suffix("/scenario.yaml").unwrap_or(filter);
    let (scenario, its) = variant.parts();
    let scenario_is = |filter: &str| glob(filter, scenario) || glob(filter, last(scenario));
    match filter.split_once('+') {
        Some((of, name)) => scenario_is(of) && its.is_some_and(|its| glob(name, its)),
        // A filter that names a folder matches every scenario in the folder.
        None => scenario_is(filter) || scenario.match_indices('/').any(|(end, _)| glob(filter, &scenario[..end])),
    }
}

/// Returns the last part of a scenario's path, which is its name without its area.
fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn no_scenario(filter: &str, variants: &[Candidate<'_>]) -> FilterError {
    let scenarios = || {
        let mut names: Vec<&str> = variants.iter().map(|it| it.id.scenario()).collect();
        names.dedup();
        names
    };
    let known = scenarios().len();
    // If the filter consists of an existing scenario and a break that does not exist, the breaks of that scenario are
    // suggested.
    let breaks: Option<Vec<&str>> = filter.split_once('+').and_then(|(scenario, _)| {
        let mut its = variants.iter().map(|it| it.id).filter(|id| id.scenario() == scenario).peekable();
        its.peek()?;
        Some(its.filter(|id| id.change().is_some()).map(VariantId::as_str).collect())
    });
    let nearest = if let Some(breaks) = breaks {
        nearest(filter, breaks.into_iter(), 0.0)
    } else {
        let filter = filter.split('+').next().unwrap_or(filter);
        let mut names = scenarios();
        let areas = names.iter().filter_map(|name| name.split_once('/')).map(|(area, _)| area).collect::<Vec<_>>();
        names.extend(areas);
        nearest(filter, names.into_iter(), SIMILAR)
    };
    FilterError::NoScenario { filter: filter.to_owned(), nearest, known }
}

/// Returns the names that are most similar to `wanted`, best first. A name counts as similar if the whole name is
/// similar, or the part after its last `/`. `at_least` is the least similarity, from 0 to 1.
fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>, at_least: f64) -> Vec<String> {
    let mut scored: Vec<(f64, &str)> = names
        .map(|name| {
            let whole = strsim::normalized_damerau_levenshtein(wanted, name);
            let part = strsim::normalized_damerau_levenshtein(wanted, last(name));
            (whole.max(part), name)
        })
        .filter(|(score, _)| *score >= at_least)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    scored.dedup_by(|a, b| a.1 == b.1);
    scored.into_iter().take(SUGGESTED).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 6] = [
        "contract",
        "presign/presigned-url",
        "presign/presigned-url+expired",
        "presign/presigned-url+no-rewrite",
        "presign/split-horizon",
        "presign/split-horizon+no-rewrite",
    ];

    fn query(filters: &[&str], only_breaks: &[&str], labels: &[&str]) -> Query {
        let owned = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        Query { filters: owned(filters), only_breaks: owned(only_breaks), labels: owned(labels), ..Query::default() }
    }

    fn choose(query: &Query) -> Result<Vec<usize>, FilterError> {
        let ids: Vec<VariantId> = ALL.iter().map(|id| (*id).into()).collect();
        let labels = |id: &VariantId| -> Vec<String> {
            let all: &[&str] = match id.scenario() {
                "contract" => &["quick"],
                "presign/presigned-url" => &["presign", "quick"],
                _ => &["presign", "dns"],
            };
            all.iter().map(|label| (*label).to_owned()).collect()
        };
        let labels: Vec<Vec<String>> = ids.iter().map(labels).collect();
        let fixtures = |id: &VariantId| match id.as_str() {
            "contract" => Vec::new(),
            "presign/split-horizon" => vec!["dns-rewrite", "minio", "garage"],
            _ => vec!["dns-rewrite", "minio"],
        };
        let all = ids.iter().zip(&labels).map(|(id, labels)| Candidate { id, labels, fixtures: fixtures(id) });
        let all: Vec<Candidate<'_>> = all.collect();
        let chosen = select(query, &all)?;
        Ok(chosen.iter().map(|id| ALL.iter().position(|it| *it == id.as_str()).expect("one of them")).collect())
    }

    #[test]
    fn what_filters_choose() {
        let table: [(&[&str], &[&str], &[usize]); 22] = [
            (&[], &[], &[0, 1, 2, 3, 4, 5]),
            (&["contract"], &[], &[0]),
            (&["presign"], &[], &[1, 2, 3, 4, 5]),
            (&["presign/"], &[], &[1, 2, 3, 4, 5]),
            (&["presign/*"], &[], &[1, 2, 3, 4, 5]),
            (&["presign/presigned-url"], &[], &[1, 2, 3]),
            (&["presigned-url"], &[], &[1, 2, 3]),
            (&["scenarios/presign/presigned-url"], &[], &[1, 2, 3]),
            (&["./scenarios/presign/presigned-url/scenario.yaml"], &[], &[1, 2, 3]),
            (&["presign/presigned-url+no-rewrite"], &[], &[3]),
            (&["presigned-url+no-rewrite"], &[], &[3]),
            (&["presign/*+no-rewrite"], &[], &[3, 5]),
            (&["presign/presigned-url+*"], &[], &[2, 3]),
            (&["**-url"], &[], &[1, 2, 3]),
            (&["*-url"], &[], &[1, 2, 3]),
            (&["*"], &[], &[0, 1, 2, 3, 4, 5]),
            (&["contract", "presign/split*"], &[], &[0, 4, 5]),
            (&["presign/split-horizon", "contract"], &[], &[0, 4, 5]),
            (&[], &["no-rewrite"], &[3, 5]),
            (&["presign/presigned-url"], &["expired"], &[2]),
            (&["presign/presigned-url"], &["*re*"], &[2, 3]),
            (&["presign"], &["expired", "no-rewrite"], &[2, 3, 5]),
        ];
        for (filters, only_breaks, expected) in table {
            let chosen = choose(&query(filters, only_breaks, &[]));
            assert_eq!(chosen.as_deref(), Ok(expected), "{filters:?} --break {only_breaks:?}");
        }
    }

    #[test]
    fn what_labels_choose() {
        let table: [(&[&str], &[&str], &[usize]); 6] = [
            (&[], &["presign"], &[1, 2, 3, 4, 5]),
            (&[], &["quick", "dns"], &[0, 1, 2, 3, 4, 5]),
            (&[], &["!quick"], &[4, 5]),
            (&[], &["presign", "!dns"], &[1, 2, 3]),
            (&["presign"], &["quick"], &[1, 2, 3]),
            (&["*+no-rewrite"], &["dns"], &[5]),
        ];
        for (filters, labels, expected) in table {
            let chosen = choose(&query(filters, &[], labels));
            assert_eq!(chosen.as_deref(), Ok(expected), "{filters:?} --label {labels:?}");
        }
    }

    #[test]
    fn what_stores_choose() {
        let of = |stores: &[&str], filters: &[&str]| {
            let stores = stores.iter().map(|it| (*it).to_owned()).collect();
            choose(&Query { stores, ..query(filters, &[], &[]) })
        };
        assert_eq!(of(&["minio"], &[]), Ok(vec![1, 2, 3, 4, 5]));
        assert_eq!(of(&["garage"], &[]), Ok(vec![4]));
        assert_eq!(of(&["garage", "minio"], &["*+no-rewrite"]), Ok(vec![3, 5]));
        let said = of(&["garage"], &["contract"]).expect_err("nothing is left").to_string();
        assert_eq!(said, "nothing is left to do: none of it uses one of these stores");
    }

    #[test]
    fn what_is_left_of_breaks_and_of_what_was_red() {
        let set = |ids: &[usize]| ids.iter().map(|at| VariantId::from(ALL[*at])).collect::<BTreeSet<_>>();
        let presign = || query(&["presign"], &[], &[]);
        let baselines = Query { without: Without::AllBreaks, ..presign() };
        assert_eq!(choose(&baselines), Ok(vec![1, 4]));
        let changed = Query { without: Without::These(set(&[2, 3])), ..presign() };
        assert_eq!(choose(&changed), Ok(vec![1, 4, 5]));
        let failed = Query { red: Some(set(&[0, 3, 4])), ..presign() };
        assert_eq!(choose(&failed), Ok(vec![3, 4]));
        let failed_baselines = Query { without: Without::AllBreaks, ..failed };
        assert_eq!(choose(&failed_baselines), Ok(vec![4]));
        for (nothing, says) in [
            (Query { red: Some(set(&[0])), ..presign() }, "without --failed all of it runs"),
            (Query { without: Without::AllBreaks, ..query(&["*+expired"], &[], &[]) }, "--breaks leaves out"),
            (query(&["contract"], &[], &["dns"]), "the labels leave out all of it"),
        ] {
            let said = choose(&nothing).expect_err("nothing is left").to_string();
            assert!(said.contains(says), "{said}");
        }
    }

    #[test]
    fn what_is_said_when_nothing_matches() {
        type Row = (&'static [&'static str], &'static [&'static str], &'static [&'static str], &'static str);
        let table: [Row; 10] = [
            (
                &["presing"],
                &[],
                &[],
                "`presing` matches no scenario (did you mean `presign`?); `parallax list` shows all 3",
            ),
            (
                &["presigned-ulr"],
                &[],
                &[],
                "`presigned-ulr` matches no scenario (did you mean `presign/presigned-url`?); `parallax list` shows all 3",
            ),
            (
                &["contract", "kontract"],
                &[],
                &[],
                "`kontract` matches no scenario (did you mean `contract`?); `parallax list` shows all 3",
            ),
            (&["zzz"], &[], &[], "`zzz` matches no scenario; `parallax list` shows all 3"),
            (
                &["presign/presigned-url+no-rewirte"],
                &[],
                &[],
                "`presign/presigned-url+no-rewirte` matches no scenario (did you mean one of `presign/presigned-url+no-rewrite`, `presign/presigned-url+expired`?); `parallax list` shows all 3",
            ),
            (
                &["presign/"],
                &["expird"],
                &[],
                "none of the scenarios chosen has a break `expird` (did you mean one of `expired`, `no-rewrite`?)",
            ),
            (
                &["presign/"],
                &["no-rewrite", "expird"],
                &[],
                "none of the scenarios chosen has a break `expird` (did you mean one of `expired`, `no-rewrite`?)",
            ),
            (&["contract"], &["expired"], &[], "none of the scenarios chosen has a break `expired`"),
            (&[], &[], &["!qick"], "no scenario has the label `qick` (did you mean one of `quick`, `presign`, `dns`?)"),
            (&["pre/*"], &[], &[], "`pre/*` matches no scenario; `parallax list` shows all 3"),
        ];
        for (filters, only_breaks, labels, message) in table {
            let said = choose(&query(filters, only_breaks, labels)).expect_err("matches nothing").to_string();
            assert_eq!(said, message);
        }
        assert_eq!(select(&Query::default(), &[]), Err(FilterError::Nothing));
    }
}
