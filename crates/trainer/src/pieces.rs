//! Cutting a batch of responses into pieces that run together.

/// Responses that run in one forward.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Piece {
    /// Prompts, by number.
    pub prompts: Vec<usize>,
    /// Responses to each prompt.
    pub counts: Vec<usize>,
    /// Responses by number, prompt after prompt.
    pub rows: Vec<usize>,
}

/// Packs the wanted responses of each prompt into pieces of at most `limit` responses, and into
/// `shares` pieces of similar cost or more.
///
/// All responses to a prompt run together where they fit, so that the prompt runs once; prompts
/// with as many wanted responses stand side by side, since attention shares them without copies.
/// `cost` is that of a prompt with some responses.
pub fn pieces(
    wanted: &[Vec<usize>],
    limit: usize,
    shares: usize,
    cost: impl Fn(usize, &[usize]) -> usize,
) -> Vec<Piece> {
    let limit = limit.max(1);
    let mut parts: Vec<(usize, &[usize])> = wanted
        .iter()
        .enumerate()
        .flat_map(|(prompt, rows)| rows.chunks(limit).map(move |rows| (prompt, rows)))
        .collect();
    parts.sort_by_key(|(prompt, rows)| (std::cmp::Reverse(rows.len()), *prompt));
    let total: usize = parts.iter().map(|(prompt, rows)| cost(*prompt, rows)).sum();
    let share = total.div_ceil(shares.max(1));
    let mut pieces: Vec<Piece> = Vec::new();
    let mut spent = 0;
    for (prompt, rows) in parts {
        let fits = |piece: &&mut Piece| spent < share && piece.rows.len() + rows.len() <= limit;
        if pieces.last_mut().filter(fits).is_none() {
            pieces.push(Piece::default());
            spent = 0;
        }
        spent += cost(prompt, rows);
        if let Some(piece) = pieces.last_mut() {
            piece.prompts.push(prompt);
            piece.counts.push(rows.len());
            piece.rows.extend(rows);
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(prompts: &[usize], counts: &[usize], rows: &[usize]) -> Piece {
        Piece { prompts: prompts.to_vec(), counts: counts.to_vec(), rows: rows.to_vec() }
    }

    fn cost(_: usize, rows: &[usize]) -> usize {
        1 + rows.len()
    }

    #[test]
    fn responses_to_a_prompt_stay_together_while_they_fit() {
        let wanted = [vec![0, 1, 2], vec![], vec![7], vec![8, 9, 10], vec![12]];
        let whole = [piece(&[0, 3, 2, 4], &[3, 3, 1, 1], &[0, 1, 2, 8, 9, 10, 7, 12])];
        assert_eq!(pieces(&wanted, 1000, 1, cost), whole);
        let halves = [
            piece(&[0, 3], &[3, 3], &[0, 1, 2, 8, 9, 10]), //
            piece(&[2, 4], &[1, 1], &[7, 12]),
        ];
        assert_eq!(pieces(&wanted, 6, 1, cost), halves);
        assert_eq!(pieces(&wanted, 1000, 2, cost), halves);
        let small = [
            piece(&[0], &[2], &[0, 1]),
            piece(&[3], &[2], &[8, 9]),
            piece(&[0, 2], &[1, 1], &[2, 7]),
            piece(&[3, 4], &[1, 1], &[10, 12]),
        ];
        assert_eq!(pieces(&wanted, 2, 1, cost), small);
        assert_eq!(pieces(&[], 4, 2, cost), []);
    }

    #[test]
    fn every_response_is_in_one_piece_whatever_the_limit() {
        let wanted: Vec<Vec<usize>> =
            (0..9).map(|prompt| (0..prompt % 5).map(|row| prompt * 10 + row).collect()).collect();
        let mut all: Vec<usize> = wanted.concat();
        all.sort_unstable();
        for (limit, shares) in (0..12).flat_map(|limit| (0..4).map(move |shares| (limit, shares))) {
            let pieces = pieces(&wanted, limit, shares, cost);
            assert!(pieces.len() >= shares);
            let mut found: Vec<usize> = pieces.iter().flat_map(|p| p.rows.clone()).collect();
            found.sort_unstable();
            assert_eq!(found, all);
            for piece in pieces {
                assert!(piece.rows.len() <= limit.max(1));
                assert_eq!(piece.prompts.len(), piece.counts.len());
                let mut rows = piece.rows.iter();
                for (&prompt, &count) in piece.prompts.iter().zip(&piece.counts) {
                    assert!(rows.by_ref().take(count).all(|row| wanted[prompt].contains(row)));
                }
                assert_eq!(rows.next(), None);
            }
        }
    }
}
