//! The two directions in which points vary most: principal component analysis by subspace
//! iteration.
//!
//! A map of latents has thousands of units, so their covariance is never written out: a block of
//! directions is multiplied by the points and back (Halko, Martinsson and Tropp 2011, section 4.5),
//! and the small eigenproblem within the block is solved by Jacobi rotations.

/// Directions that are followed at once; the more, the faster the first two settle.
const BLOCK: usize = 8;
/// Products with the covariance at most. Two components that are so alike that they have not
/// settled then may be turned in their plane.
const ITERATIONS: usize = 60;
/// Relative change of the two largest variances at which they have settled.
const SETTLED: f64 = 1e-12;

/// Points on the plane of their two largest components.
#[derive(Debug, Clone, PartialEq)]
pub struct Principal {
    /// Coordinates along the first and the second component, less their mean.
    pub points: Vec<[f64; 2]>,
    /// Share of the whole variance that each of the two explains, 0 to 1.
    pub shares: [f64; 2],
}

/// A row for each point or unit, a column for each direction of the block.
type Block = Vec<[f64; BLOCK]>;

/// The components of `rows` of `units` numbers each. A layer of one unit has a second coordinate of
/// 0.
pub fn principal(rows: &[f32], units: usize) -> Principal {
    let rows = centred(rows, units);
    let total: f64 = rows.iter().flatten().map(|x| x * x).sum();
    let mut directions: Block =
        (0..units).map(|unit| std::array::from_fn(|column| start(unit, column, units))).collect();
    let mut along = project(&rows, &directions);
    let mut largest = [0.0; 2];
    for _ in 0..ITERATIONS {
        directions = combine(&rows, &along, units);
        orthonormalise(&mut directions);
        along = project(&rows, &directions);
        let (variances, axes) = eigen(gram(&along));
        let order = descending(&variances);
        turn(&mut directions, &axes, &order);
        turn(&mut along, &axes, &order);
        let before = std::mem::replace(
            &mut largest,
            [variances[order[0]].max(0.0), variances[order[1]].max(0.0)],
        );
        if largest.iter().zip(before).all(|(now, before)| (now - before).abs() <= SETTLED * total) {
            break;
        }
    }
    let shares = if total > 0.0 { largest.map(|variance| variance / total) } else { [0.0; 2] };
    Principal { points: along.iter().map(|point| [point[0], point[1]]).collect(), shares }
}

/// The points less their mean.
fn centred(rows: &[f32], units: usize) -> Vec<Vec<f64>> {
    let rows = rows.chunks_exact(units.max(1));
    let count = rows.len() as f64;
    let mut mean = vec![0.0; units];
    for row in rows.clone() {
        mean.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x) / count);
    }
    rows.map(|row| row.iter().zip(&mean).map(|(&x, mean)| f64::from(x) - mean).collect()).collect()
}

/// Where the iteration starts: all of the space if it is small, otherwise waves, which have a part
/// in any direction but contrived ones.
fn start(unit: usize, column: usize, units: usize) -> f64 {
    if units <= BLOCK {
        f64::from(unit == column)
    } else {
        ((unit + 1) as f64 * (column as f64 + 1.5).sqrt()).cos()
    }
}

/// The points' coordinates along the directions.
fn project(rows: &[Vec<f64>], directions: &Block) -> Block {
    rows.iter().map(|row| weighted_sum(row.iter().copied().zip(directions))).collect()
}

/// The rows' sum, weighted by the coordinates: of each unit, for each direction.
fn combine(rows: &[Vec<f64>], along: &Block, units: usize) -> Block {
    let mut sums = vec![[0.0; BLOCK]; units];
    for (row, point) in rows.iter().zip(along) {
        for (sum, x) in sums.iter_mut().zip(row) {
            sum.iter_mut().zip(point).for_each(|(sum, along)| *sum += x * along);
        }
    }
    sums
}

fn weighted_sum<'a>(terms: impl Iterator<Item = (f64, &'a [f64; BLOCK])>) -> [f64; BLOCK] {
    terms.fold([0.0; BLOCK], |mut sums, (weight, term)| {
        sums.iter_mut().zip(term).for_each(|(sum, x)| *sum += weight * x);
        sums
    })
}

/// Gram and Schmidt, twice, as once is not exact enough; a column that the others explain becomes
/// 0.
fn orthonormalise(directions: &mut Block) {
    for column in 0..BLOCK {
        let norm = |directions: &Block| {
            directions.iter().map(|row| row[column] * row[column]).sum::<f64>().sqrt()
        };
        let before = norm(directions);
        for other in (0..column).chain(0..column) {
            let overlap: f64 = directions.iter().map(|row| row[column] * row[other]).sum();
            directions.iter_mut().for_each(|row| row[column] -= overlap * row[other]);
        }
        let after = norm(directions);
        let scale = if after > before * 1e-10 { 1.0 / after } else { 0.0 };
        directions.iter_mut().for_each(|row| row[column] *= scale);
    }
}

/// The inner products of the columns.
fn gram(block: &Block) -> Vec<Vec<f64>> {
    (0..BLOCK)
        .map(|column| weighted_sum(block.iter().map(|row| (row[column], row))).to_vec())
        .collect()
}

/// The columns of `axes` as new directions, in `order`.
fn turn(block: &mut Block, axes: &[Vec<f64>], order: &[usize]) {
    for row in block {
        let old = *row;
        *row =
            std::array::from_fn(|column| (0..BLOCK).map(|i| old[i] * axes[i][order[column]]).sum());
    }
}

/// The places of the numbers, the largest first.
fn descending(numbers: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|&a, &b| numbers[b].total_cmp(&numbers[a]));
    order
}

/// Eigenvalues of a symmetric matrix, and the eigenvectors as columns.
fn eigen(mut a: Vec<Vec<f64>>) -> (Vec<f64>, Vec<Vec<f64>>) {
    let n = a.len();
    let mut vectors: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| f64::from(i == j)).collect()).collect();
    // Each sweep squares what is off the diagonal; a dozen reaches rounding from any start.
    for _ in 0..30 {
        let off: f64 =
            (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i][j] * a[i][j]).sum();
        let on: f64 = (0..n).map(|i| a[i][i] * a[i][i]).sum();
        if off <= on * 1e-24 {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut vectors, p, q);
            }
        }
    }
    ((0..n).map(|i| a[i][i]).collect(), vectors)
}

/// Turns the plane of axes p < q so that `a[p][q]` becomes 0 (Golub and Van Loan, algorithm 8.4.1).
fn rotate(a: &mut [Vec<f64>], vectors: &mut [Vec<f64>], p: usize, q: usize) {
    if a[p][q] == 0.0 {
        return;
    }
    let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
    let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let c = 1.0 / t.hypot(1.0);
    let s = t * c;
    for row in a.iter_mut() {
        (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
    }
    let (above, below) = a.split_at_mut(q);
    for (x, y) in above[p].iter_mut().zip(&mut below[0]) {
        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
    }
    for row in vectors.iter_mut() {
        (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_on_a_line_have_one_component() {
        let rows: Vec<f32> = (0..10).flat_map(|i| [3.0 * i as f32, 4.0 * i as f32, 7.0]).collect();
        let found = principal(&rows, 3);
        assert!((found.shares[0] - 1.0).abs() < 1e-9 && found.shares[1] < 1e-9, "{found:?}");
        let step = (found.points[1][0] - found.points[0][0]).abs();
        assert!((step - 5.0).abs() < 1e-6, "{step}");
    }

    #[test]
    fn distances_in_the_plane_are_those_of_the_points() {
        // Variance 9 along (1, 1)/√2 and 1 along (1, −1)/√2, from four points.
        let r = 0.5f32.sqrt();
        let rows: Vec<f32> = [(4.0, 0.0), (-4.0, 0.0), (0.0, 2.0), (0.0, -2.0)]
            .iter()
            .flat_map(|&(u, v)| [r * (u + v), r * (u - v)])
            .collect();
        let found = principal(&rows, 2);
        assert!(
            (found.shares[0] - 0.8).abs() < 1e-6 && (found.shares[1] - 0.2).abs() < 1e-6,
            "{found:?}"
        );
        assert!(
            (found.points[0][0].abs() - 4.0).abs() < 1e-5
                && (found.points[2][1].abs() - 2.0).abs() < 1e-5
        );
    }

    /// A line and a square wave in 300 dimensions, beside noise: more units than the block has
    /// directions, and than there are points.
    #[test]
    fn two_components_are_found_among_many_units() {
        let (units, points) = (300, 40);
        let noise = |at: usize| ((at * 7919) as f32).sin();
        let row = |point: usize| {
            let (line, wave) =
                (point as f32 - 19.5, if point.is_multiple_of(2) { 1.0 } else { -1.0 });
            (0..units).map(move |unit| match unit % 3 {
                0 => line,
                1 => 5.0 * wave,
                _ => 0.1 * noise(point * units + unit),
            })
        };
        let found = principal(&(0..points).flat_map(row).collect::<Vec<f32>>(), units);
        // The variance of 0, 1, …, n − 1 is (n² − 1)/12; a hundred units each.
        let (line, wave) = (100.0 * (1600.0 - 1.0) / 12.0, 100.0 * 25.0);
        assert!((found.shares[0] - line / (line + wave)).abs() < 1e-3, "{:?}", found.shares);
        assert!((found.shares[1] - wave / (line + wave)).abs() < 1e-3, "{:?}", found.shares);
        let step = found.points[2][0] - found.points[0][0];
        assert!((step.abs() - 20.0).abs() < 0.1, "{step}");
    }

    #[test]
    fn one_unit_and_no_spread_are_no_obstacle() {
        assert_eq!(principal(&[1.0, 3.0], 1).shares, [1.0, 0.0]);
        assert_eq!(principal(&[2.0, 2.0, 2.0, 2.0], 2).shares, [0.0, 0.0]);
    }
}
