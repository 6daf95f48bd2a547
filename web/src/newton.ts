/** Newton's step of small dense problems. */

/** −H⁻¹ g, with H made positive definite where it is not. */
export function newton(hessian: Float64Array, gradient: Float64Array, d: number): Float64Array {
  let most = 0;
  for (let i = 0; i < d; i++) most = Math.max(most, Math.abs(hessian[i * d + i]));
  for (let ridge = 0; ; ridge = Math.max(ridge * 10, most * 1e-12 || 1e-12)) {
    const factor = cholesky(hessian, ridge, d);
    if (!factor) continue;
    const x = new Float64Array(d);
    for (let i = 0; i < d; i++) {
      let sum = -gradient[i];
      for (let j = 0; j < i; j++) sum -= factor[i * d + j] * x[j];
      x[i] = sum / factor[i * d + i];
    }
    for (let i = d - 1; i >= 0; i--) {
      let sum = x[i];
      for (let j = i + 1; j < d; j++) sum -= factor[j * d + i] * x[j];
      x[i] = sum / factor[i * d + i];
    }
    return x;
  }
}

function cholesky(a: Float64Array, ridge: number, d: number): Float64Array | null {
  const factor = new Float64Array(d * d);
  for (let i = 0; i < d; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = a[i * d + j] + (i === j ? ridge : 0);
      for (let k = 0; k < j; k++) sum -= factor[i * d + k] * factor[j * d + k];
      if (i !== j) factor[i * d + j] = sum / factor[j * d + j];
      // Of a sum that cancels only its rounding error would be left.
      else if (sum > 1e-14 * Math.abs(a[i * d + i])) factor[i * d + i] = Math.sqrt(sum);
      else if (!Number.isFinite(sum) && ridge > 1e300) return factor;
      else return null;
    }
  }
  return factor;
}
