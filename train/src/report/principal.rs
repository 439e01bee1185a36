//! The two directions in which points vary most: principal component analysis by Jacobi rotations.
//!
//! Layers have up to some hundred units, where the method is fast and exact to rounding.

/// Points on the plane of their two largest components.
#[derive(Debug, Clone, PartialEq)]
pub struct Principal {
    /// Coordinates along the first and the second component, less their mean.
    pub points: Vec<[f64; 2]>,
    /// Share of the whole variance that each of the two explains, 0 to 1.
    pub shares: [f64; 2],
}

/// The components of `rows` of `units` numbers each. A layer of one unit has a second coordinate of 0.
pub fn principal(rows: &[f32], units: usize) -> Principal {
    let count = rows.len() / units.max(1);
    let rows: Vec<&[f32]> = rows.chunks_exact(units.max(1)).collect();
    let mut mean = vec![0.0; units];
    for row in &rows {
        for (sum, &x) in mean.iter_mut().zip(*row) {
            *sum += f64::from(x) / count as f64;
        }
    }
    let mut covariance = vec![vec![0.0; units]; units];
    for row in &rows {
        for (i, line) in covariance.iter_mut().enumerate() {
            let left = f64::from(row[i]) - mean[i];
            for (j, sum) in line.iter_mut().enumerate() {
                *sum += left * (f64::from(row[j]) - mean[j]) / count as f64;
            }
        }
    }
    let (variances, directions) = eigen(covariance);
    let mut order: Vec<usize> = (0..units).collect();
    order.sort_by(|&a, &b| variances[b].total_cmp(&variances[a]));
    let total: f64 = variances.iter().map(|v| v.max(0.0)).sum();
    let share = |rank: usize| order.get(rank).map_or(0.0, |&at| (variances[at] / total).max(0.0));
    let along = |row: &[f32], rank: usize| {
        let Some(&at) = order.get(rank) else { return 0.0 };
        (0..units).map(|i| (f64::from(row[i]) - mean[i]) * directions[i][at]).sum()
    };
    let points = rows.iter().map(|row| [along(row, 0), along(row, 1)]).collect();
    let shares = if total > 0.0 { [share(0), share(1)] } else { [0.0; 2] };
    Principal { points, shares }
}

/// Eigenvalues of a symmetric matrix, and the eigenvectors as columns.
fn eigen(mut a: Vec<Vec<f64>>) -> (Vec<f64>, Vec<Vec<f64>>) {
    let n = a.len();
    let mut vectors: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| f64::from(i == j)).collect()).collect();
    // Each sweep squares what is off the diagonal; a dozen reaches rounding from any start.
    for _ in 0..30 {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i][j] * a[i][j]).sum();
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

/// Turns the plane of axes p < q so that a[p][q] becomes 0 (Golub and Van Loan, algorithm 8.4.1).
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
        assert!((found.shares[0] - 0.8).abs() < 1e-6 && (found.shares[1] - 0.2).abs() < 1e-6, "{found:?}");
        assert!((found.points[0][0].abs() - 4.0).abs() < 1e-5 && (found.points[2][1].abs() - 2.0).abs() < 1e-5);
    }

    #[test]
    fn one_unit_and_no_spread_are_no_obstacle() {
        assert_eq!(principal(&[1.0, 3.0], 1).shares, [1.0, 0.0]);
        assert_eq!(principal(&[2.0, 2.0, 2.0, 2.0], 2).shares, [0.0, 0.0]);
    }
}
