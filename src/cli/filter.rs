//! Which variants a person means. Pure.

use parallax_vocab::VariantId;

/// Nothing matches.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A filter matches no scenario and no break.
    #[error("`{filter}` matches no scenario{}; `parallax list` shows all {known}", did_you_mean(nearest))]
    NoScenario {
        /// As given.
        filter: String,
        /// The nearest names, best first.
        nearest: Vec<String>,
        /// How many scenarios there are.
        known: usize,
    },
    /// None of the scenarios chosen has the break.
    #[error("none of the scenarios chosen has a break `{name}`{}", did_you_mean(nearest))]
    NoBreak {
        /// As given.
        name: String,
        /// The nearest names, best first; all, where there are few.
        nearest: Vec<String>,
    },
    /// There is nothing to choose from.
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

/// At most so many names are suggested.
const SUGGESTED: usize = 3;
/// Names less similar than this are not suggested.
const SIMILAR: f64 = 0.55;

/// Chooses from `variants`, keeping their order: those that any of `filters` matches (all without filters), and of
/// these, where `only_break` is given, only the breaks of that name. Every filter must match something.
pub fn select(
    filters: &[String],
    only_break: Option<&str>,
    variants: &[VariantId],
) -> Result<Vec<VariantId>, FilterError> {
    if variants.is_empty() {
        return Err(FilterError::Nothing);
    }
    for filter in filters {
        if !variants.iter().any(|variant| matches(filter, variant)) {
            return Err(no_scenario(filter, variants));
        }
    }
    let chosen: Vec<VariantId> = variants
        .iter()
        .filter(|variant| filters.is_empty() || filters.iter().any(|filter| matches(filter, variant)))
        .cloned()
        .collect();
    let Some(name) = only_break else { return Ok(chosen) };
    let (wanted, others): (Vec<_>, Vec<_>) =
        chosen.into_iter().partition(|variant| parts(variant).1.is_some_and(|its| glob(name, its)));
    if wanted.is_empty() {
        let names = others.iter().filter_map(|variant| parts(variant).1);
        return Err(FilterError::NoBreak { name: name.to_owned(), nearest: nearest(name, names, 0.0) });
    }
    Ok(wanted)
}

/// Scenario and break of a variant.
fn parts(variant: &VariantId) -> (&str, Option<&str>) {
    match variant.as_str().split_once('+') {
        Some((scenario, name)) => (scenario, Some(name)),
        None => (variant.as_str(), None),
    }
}

fn matches(filter: &str, variant: &VariantId) -> bool {
    let filter = filter.trim_end_matches('/');
    let filter = filter.strip_prefix("scenarios/").unwrap_or(filter);
    let (scenario, its) = parts(variant);
    match filter.split_once('+') {
        Some((of, name)) => glob(of, scenario) && its.is_some_and(|its| glob(name, its)),
        // A folder stands for everything in it.
        None => glob(filter, scenario) || scenario.match_indices('/').any(|(end, _)| glob(filter, &scenario[..end])),
    }
}

/// `*` stands for any text without `/`, `**` for any text.
fn glob(pattern: &str, text: &str) -> bool {
    if let Some(rest) = pattern.strip_prefix("**") {
        return (0..=text.len()).any(|at| text.is_char_boundary(at) && glob(rest, &text[at..]));
    }
    if let Some(rest) = pattern.strip_prefix('*') {
        let end = text.find('/').unwrap_or(text.len());
        return (0..=end).any(|at| text.is_char_boundary(at) && glob(rest, &text[at..]));
    }
    match (pattern.chars().next(), text.chars().next()) {
        (None, None) => true,
        (Some(p), Some(t)) if p == t => glob(&pattern[p.len_utf8()..], &text[t.len_utf8()..]),
        _ => false,
    }
}

fn no_scenario(filter: &str, variants: &[VariantId]) -> FilterError {
    let scenarios = || {
        let mut names: Vec<&str> = variants.iter().map(|variant| parts(variant).0).collect();
        names.dedup();
        names
    };
    let known = scenarios().len();
    // Someone who names a break of a scenario that exists wants to hear its breaks.
    let breaks: Option<Vec<&str>> = filter.split_once('+').and_then(|(scenario, _)| {
        let mut its = variants.iter().filter(|variant| parts(variant).0 == scenario).peekable();
        its.peek()?;
        Some(its.filter(|variant| parts(variant).1.is_some()).map(VariantId::as_str).collect())
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

/// The names most like `wanted`, best first: like the whole name, or like its last part.
fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>, at_least: f64) -> Vec<String> {
    let last = |name: &'a str| name.rsplit('/').next().unwrap_or(name);
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

    fn choose(filters: &[&str], only_break: Option<&str>) -> Result<Vec<String>, FilterError> {
        let filters: Vec<String> = filters.iter().map(|filter| (*filter).to_owned()).collect();
        let variants: Vec<VariantId> = ALL.iter().map(|id| (*id).into()).collect();
        let chosen = select(&filters, only_break, &variants)?;
        Ok(chosen.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_filters_choose() {
        let table: [(&[&str], Option<&str>, &[usize]); 17] = [
            (&[], None, &[0, 1, 2, 3, 4, 5]),
            (&["contract"], None, &[0]),
            (&["presign"], None, &[1, 2, 3, 4, 5]),
            (&["presign/"], None, &[1, 2, 3, 4, 5]),
            (&["presign/*"], None, &[1, 2, 3, 4, 5]),
            (&["presign/presigned-url"], None, &[1, 2, 3]),
            (&["scenarios/presign/presigned-url"], None, &[1, 2, 3]),
            (&["presign/presigned-url+no-rewrite"], None, &[3]),
            (&["presign/*+no-rewrite"], None, &[3, 5]),
            (&["presign/presigned-url+*"], None, &[2, 3]),
            (&["**-url"], None, &[1, 2, 3]),
            (&["*"], None, &[0, 1, 2, 3, 4, 5]),
            (&["contract", "presign/split*"], None, &[0, 4, 5]),
            (&["presign/split-horizon", "contract"], None, &[0, 4, 5]),
            (&[], Some("no-rewrite"), &[3, 5]),
            (&["presign/presigned-url"], Some("expired"), &[2]),
            (&["presign/presigned-url"], Some("*re*"), &[2, 3]),
        ];
        for (filters, only_break, expected) in table {
            let expected: Vec<&str> = expected.iter().map(|index| ALL[*index]).collect();
            assert_eq!(choose(filters, only_break).expect("matches"), expected, "{filters:?} --break {only_break:?}");
        }
    }

    #[test]
    fn what_is_said_when_nothing_matches() {
        let table: [(&[&str], Option<&str>, &str); 8] = [
            (
                &["presing"],
                None,
                "`presing` matches no scenario (did you mean `presign`?); `parallax list` shows all 3",
            ),
            (
                &["presigned-ulr"],
                None,
                "`presigned-ulr` matches no scenario (did you mean `presign/presigned-url`?); `parallax list` shows all 3",
            ),
            (
                &["contract", "kontract"],
                None,
                "`kontract` matches no scenario (did you mean `contract`?); `parallax list` shows all 3",
            ),
            (&["zzz"], None, "`zzz` matches no scenario; `parallax list` shows all 3"),
            (
                &["presign/presigned-url+no-rewirte"],
                None,
                "`presign/presigned-url+no-rewirte` matches no scenario (did you mean one of `presign/presigned-url+no-rewrite`, `presign/presigned-url+expired`?); `parallax list` shows all 3",
            ),
            (
                &["presign/"],
                Some("expird"),
                "none of the scenarios chosen has a break `expird` (did you mean one of `expired`, `no-rewrite`?)",
            ),
            (&["contract"], Some("expired"), "none of the scenarios chosen has a break `expired`"),
            (&["pre/*"], None, "`pre/*` matches no scenario; `parallax list` shows all 3"),
        ];
        for (filters, only_break, message) in table {
            assert_eq!(choose(filters, only_break).expect_err("matches nothing").to_string(), message);
        }
        assert_eq!(select(&[], None, &[]), Err(FilterError::Nothing));
    }
}
