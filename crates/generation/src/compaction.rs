//! Responses that have ended leave the batch.

use qwen2_5_vl::Kept;

/// Which rows of a batch of `responses` to each prompt stay, where enough may leave: of the prompts
/// with open responses as many rows each as the one with most has. A row that has ended stays only
/// where its prompt has fewer.
///
/// None where less than a quarter of the rows would leave: to copy keys and values costs as well.
pub(crate) fn kept(open: &[bool], responses: usize) -> Option<Vec<Kept>> {
    let count = |rows: &[bool]| rows.iter().filter(|open| **open).count();
    let most = open.chunks(responses).map(count).max().unwrap_or(0);
    let prompts = open.chunks(responses).enumerate().filter(|(_, rows)| count(rows) > 0);
    let kept: Vec<Kept> = prompts
        .map(|(prompt, rows)| {
            let (mut first, ended): (Vec<usize>, Vec<usize>) =
                (0..responses).partition(|&row| rows[row]);
            first.extend(ended);
            first.truncate(most);
            (prompt, first)
        })
        .collect();
    let fewer = kept.len() * most;
    (fewer > 0 && 4 * fewer <= 3 * open.len()).then_some(kept)
}

/// The rows that stay, in order.
pub(crate) fn rows_of(kept: &[Kept], responses: usize) -> Vec<usize> {
    kept.iter()
        .flat_map(|(prompt, rows)| rows.iter().map(move |row| prompt * responses + row))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ended_responses_leave_once_they_are_a_quarter_of_the_batch() {
        let open = |text: &str| -> Vec<bool> { text.bytes().map(|byte| byte == b'o').collect() };
        let cases: [(&str, usize, Option<Vec<Kept>>); 8] = [
            ("oooooooo", 4, None),
            ("ooo.oooo", 4, None),
            // The second prompt has ended.
            ("oooo....", 4, Some(vec![(0, vec![0, 1, 2, 3])])),
            // Both keep as many rows as the first has open; one of the second has ended.
            (".o.o.o..", 4, Some(vec![(0, vec![1, 3]), (1, vec![1, 0])])),
            ("...o", 4, Some(vec![(0, vec![3])])),
            ("o.oo", 1, Some(vec![(0, vec![0]), (2, vec![0]), (3, vec![0])])),
            ("....", 2, None),
            ("", 2, None),
        ];
        for (rows, responses, expected) in cases {
            assert_eq!(kept(&open(rows), responses), expected, "{rows}");
        }
    }

    proptest! {
        #[test]
        fn every_open_response_stays_once(
            open in proptest::collection::vec(any::<bool>(), 0..40),
            responses in 1usize..6,
        ) {
            let rows = open.len() / responses * responses;
            let open = &open[..rows];
            if let Some(kept) = kept(open, responses) {
                let mut found = rows_of(&kept, responses);
                let total = found.len();
                prop_assert!(kept.iter().all(|(_, rows)| rows.len() * kept.len() == total));
                found.sort_unstable();
                found.dedup();
                prop_assert_eq!(found.len(), total);
                prop_assert!((0..rows).filter(|&row| open[row]).all(|row| found.contains(&row)));
            }
        }
    }
}
