//! Ending a response at a text of the user's.

/// Watches a growing text for one of several texts.
#[derive(Clone, Debug)]
pub struct Stop {
    stops: Vec<String>,
    /// What came in but was not let out.
    held: String,
    found: bool,
}

impl Stop {
    /// Watches for `stops`; empty ones are passed over.
    pub fn new(stops: &[String]) -> Self {
        let stops = stops.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        Self { stops, held: String::new(), found: false }
    }

    /// Whether one of the texts came.
    pub fn found(&self) -> bool {
        self.found
    }

    /// Takes text in and lets out what surely stands before any of the texts.
    pub fn push(&mut self, text: &str) -> String {
        if self.found {
            return String::new();
        }
        self.held += text;
        if let Some(place) = self.stops.iter().filter_map(|stop| self.held.find(stop)).min() {
            self.found = true;
            self.held.truncate(place);
            return std::mem::take(&mut self.held);
        }
        let rest = self.held.split_off(self.held.len() - self.begun());
        std::mem::replace(&mut self.held, rest)
    }

    /// Lets out the rest.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Bytes at the end that may begin one of the texts.
    fn begun(&self) -> usize {
        let begins = |stop: &String| {
            let starts = stop.char_indices().map(|(start, _)| start).skip(1);
            starts.filter(|&start| self.held.ends_with(&stop[..start])).max()
        };
        self.stops.iter().filter_map(begins).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_ends_before_the_first_stop_however_it_is_cut() {
        let cases: [(&[&str], &str, &str, bool); 6] = [
            (&["\n\n"], "one\ntwo\n\nthree", "one\ntwo", true),
            (&["END", "EN"], "say ENDING", "say ", true),
            (&["END"], "no EN here, no E", "no EN here, no E", false),
            (&[""], "all", "all", false),
            (&["ä"], "für ä", "für ", true),
            (&["aab"], "aaab", "a", true),
        ];
        for (stops, text, expected, found) in cases {
            let stops: Vec<String> = stops.iter().map(|stop| stop.to_string()).collect();
            for width in 1..=text.chars().count() {
                let mut stop = Stop::new(&stops);
                let characters: Vec<char> = text.chars().collect();
                let mut out = String::new();
                for piece in characters.chunks(width) {
                    out += &stop.push(&piece.iter().collect::<String>());
                    assert!(expected.starts_with(&out), "{out:?} of {text:?}");
                }
                out += &stop.finish();
                assert_eq!((out.as_str(), stop.found()), (expected, found), "{text:?} by {width}");
            }
        }
    }
}
