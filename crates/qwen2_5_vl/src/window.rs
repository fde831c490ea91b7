//! The order in which the vision tower sees patches, so that attention windows are contiguous.
//!
//! Images of one size form a group. Within each image, windows of one size stand together, so a
//! group splits into batches of equal windows: no padding and no mask, whatever the image size.

use crate::config::VisionConfig;

/// Images of one size, and how their patches split into windows.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageGroup {
    /// Images in the group.
    pub images: usize,
    /// Patches of each image.
    pub patches: usize,
    /// Windows of one image: `count` of `size` patches each, in order.
    pub windows: Vec<WindowBatch>,
}

/// Equal windows that stand next to each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowBatch {
    /// Number of windows.
    pub count: usize,
    /// Patches in each.
    pub size: usize,
}

/// How the patches of several images are laid out for the vision tower.
#[derive(Clone, Debug)]
pub struct WindowLayout {
    /// Groups of equal images, in the order of their patches.
    pub groups: Vec<ImageGroup>,
    /// For each place in the tower's order, the patch in the processor's order.
    pub order: Vec<i32>,
    /// For each merged visual token in the processor's order, its place in the tower's order.
    pub restore: Vec<i32>,
    /// Row and column of each patch, in the tower's order.
    pub positions: Vec<[usize; 2]>,
}

impl WindowLayout {
    /// Lays out images of the given grids (frames, rows, columns of patches).
    pub fn new(grids: &[[usize; 3]], config: &VisionConfig) -> Self {
        let merge = config.spatial_merge_size;
        let unit = config.merge_unit();
        let tokens = |grid: &[usize; 3]| grid[1] * grid[2] / unit;
        let starts: Vec<usize> = grids
            .iter()
            .scan(0, |start, grid| Some(std::mem::replace(start, *start + tokens(grid))))
            .collect();
        let total: usize = grids.iter().map(tokens).sum();
        let mut layout = Self {
            groups: Vec::new(),
            order: Vec::with_capacity(total * unit),
            restore: vec![0; total],
            positions: Vec::with_capacity(total * unit),
        };
        let mut sizes: Vec<[usize; 3]> = grids.to_vec();
        sizes.sort_unstable();
        sizes.dedup();
        let mut place = 0;
        for size in sizes {
            let [_, rows, columns] = size.map(|side| side / merge);
            let (windows, visits) = windows(rows, columns, config.window_side());
            let mut images = 0;
            for image in (0..grids.len()).filter(|&image| grids[image] == size) {
                images += 1;
                for &(row, column) in &visits {
                    let token = starts[image] + row * columns + column;
                    layout.restore[token] = place;
                    place += 1;
                    for inner in 0..unit {
                        layout.order.push((token * unit + inner) as i32);
                        let (inner_row, inner_column) = (inner / merge, inner % merge);
                        layout
                            .positions
                            .push([row * merge + inner_row, column * merge + inner_column]);
                    }
                }
            }
            let windows = windows
                .into_iter()
                .map(|batch| WindowBatch { size: batch.size * unit, ..batch })
                .collect();
            layout.groups.push(ImageGroup { images, patches: tokens(&size) * unit, windows });
        }
        layout
    }
}

/// Windows of an image of merged tokens, equal ones together, and its tokens in that order.
fn windows(rows: usize, columns: usize, side: usize) -> (Vec<WindowBatch>, Vec<(usize, usize)>) {
    let spans = |length: usize| {
        let whole = length / side * side;
        [0..whole, whole..length]
    };
    let (mut batches, mut visits) = (Vec::new(), Vec::with_capacity(rows * columns));
    for tall in spans(rows) {
        for wide in spans(columns) {
            let (height, width) = (tall.len().min(side), wide.len().min(side));
            if height == 0 || width == 0 {
                continue;
            }
            let count = (tall.len() / height) * (wide.len() / width);
            batches.push(WindowBatch { count, size: height * width });
            for top in tall.clone().step_by(height) {
                for left in wide.clone().step_by(width) {
                    for row in top..top + height {
                        visits.extend((left..left + width).map(|column| (row, column)));
                    }
                }
            }
        }
    }
    (batches, visits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Qwen2_5_VLConfig;

    #[test]
    fn every_patch_is_seen_once_and_put_back() {
        let json = include_str!("../../../tests/reference/model/config.json");
        let config = Qwen2_5_VLConfig::from_json(json).unwrap().vision_config;
        let cases: [&[[usize; 3]]; 5] = [
            &[],
            &[[1, 2, 2]],
            &[[1, 10, 14]],
            &[[1, 6, 8], [1, 22, 6], [1, 6, 8]],
            &[[1, 8, 8], [1, 4, 4]],
        ];
        for grids in cases {
            let layout = WindowLayout::new(grids, &config);
            let total: usize = grids.iter().map(|grid| grid[1] * grid[2]).sum();
            let mut seen = layout.order.clone();
            seen.sort_unstable();
            assert_eq!(seen, (0..total as i32).collect::<Vec<_>>(), "{grids:?}");
            for (token, &place) in layout.restore.iter().enumerate() {
                assert_eq!(layout.order[place as usize * 4], token as i32 * 4, "{grids:?}");
            }
            for group in &layout.groups {
                let windowed: usize = group.windows.iter().map(|w| w.count * w.size).sum();
                assert_eq!(windowed, group.patches, "{grids:?}");
            }
        }
    }
}
