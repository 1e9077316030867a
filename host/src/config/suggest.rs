//! The right name for a wrong one.

/// The candidate that a person most likely meant, if one is near: a third of the letters may
/// differ, neighbours swapped counting once.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Far longer than any name: the distance costs the product of both lengths.
    if name.len() > 100 {
        return None;
    }
    let plain = name.to_lowercase().replace('-', "_");
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&plain, &candidate.replace('-', "_")), candidate))
        .filter(|&(distance, candidate)| distance <= candidate.chars().count().div_ceil(3).min(3))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}
