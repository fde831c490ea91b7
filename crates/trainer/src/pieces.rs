//! Cutting a batch of responses into pieces that run together.

/// Responses that run in one forward: the same number to each of several prompts.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// Prompts, by number.
    pub prompts: Vec<usize>,
    /// Responses by number, prompt after prompt.
    pub rows: Vec<usize>,
}

/// Packs the wanted responses of each prompt into pieces of at most `limit` responses.
///
/// All responses to a prompt run together where they fit, so that the prompt runs once; prompts
/// with as many wanted responses share a piece, since attention shares a prompt among a fixed
/// number of responses.
pub fn pieces(wanted: &[Vec<usize>], limit: usize) -> Vec<Piece> {
    let limit = limit.max(1);
    let mut parts: Vec<(usize, &[usize])> = wanted
        .iter()
        .enumerate()
        .flat_map(|(prompt, rows)| rows.chunks(limit).map(move |rows| (prompt, rows)))
        .collect();
    parts.sort_by_key(|(prompt, rows)| (std::cmp::Reverse(rows.len()), *prompt));
    let mut pieces: Vec<Piece> = Vec::new();
    for (prompt, rows) in parts {
        let fits = |piece: &&mut Piece| {
            piece.rows.len() == piece.prompts.len() * rows.len()
                && piece.rows.len() + rows.len() <= limit
        };
        match pieces.last_mut().filter(fits) {
            Some(piece) => {
                piece.prompts.push(prompt);
                piece.rows.extend(rows);
            }
            None => pieces.push(Piece { prompts: vec![prompt], rows: rows.to_vec() }),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(prompts: &[usize], rows: &[usize]) -> Piece {
        Piece { prompts: prompts.to_vec(), rows: rows.to_vec() }
    }

    #[test]
    fn responses_to_a_prompt_stay_together_while_they_fit() {
        let wanted = [vec![0, 1, 2], vec![], vec![7], vec![8, 9, 10], vec![12]];
        let whole = [piece(&[0, 3], &[0, 1, 2, 8, 9, 10]), piece(&[2, 4], &[7, 12])];
        assert_eq!(pieces(&wanted, 6), whole);
        assert_eq!(pieces(&wanted, 1000), whole);
        let small = [
            piece(&[0], &[0, 1]),
            piece(&[3], &[8, 9]),
            piece(&[0, 2], &[2, 7]),
            piece(&[3, 4], &[10, 12]),
        ];
        assert_eq!(pieces(&wanted, 2), small);
        assert_eq!(pieces(&[], 4), []);
    }

    #[test]
    fn every_response_is_in_one_piece_whatever_the_limit() {
        let wanted: Vec<Vec<usize>> =
            (0..9).map(|prompt| (0..prompt % 5).map(|row| prompt * 10 + row).collect()).collect();
        let mut all: Vec<usize> = wanted.concat();
        all.sort_unstable();
        for limit in 0..12 {
            let pieces = pieces(&wanted, limit);
            let mut found: Vec<usize> = pieces.iter().flat_map(|p| p.rows.clone()).collect();
            found.sort_unstable();
            assert_eq!(found, all);
            for piece in pieces {
                assert!(piece.rows.len() <= limit.max(1));
                let each = piece.rows.len() / piece.prompts.len();
                for (prompt, rows) in piece.prompts.iter().zip(piece.rows.chunks(each)) {
                    assert!(rows.iter().all(|row| wanted[*prompt].contains(row)));
                }
            }
        }
    }
}
