/// `eˣ` for x ≤ 0, to about 2 units in the last place, by additions and multiplications alone: libraries differ in the
/// last bits of their `exp`, and a choice between tokens must not.
@inline(__always)
package func exponential(_ x: Double) -> Double {
    guard x > -700 else { return 0 }
    // x = n·ln 2 + r with |r| ≤ ln 2 / 2; ln 2 in two parts, so that n·high is exact.
    let n = (x * 1.442_695_040_888_963_4).rounded(.toNearestOrEven)
    let r = (x - n * 6.931_471_803_691_238_2e-1) - n * 1.908_214_929_270_587_7e-10
    // The Taylor series to r¹³/13!, whose error is below 2⁻⁵⁶ there.
    var sum = 1.0 / 6_227_020_800
    sum = sum * r + 1.0 / 479_001_600
    sum = sum * r + 1.0 / 39_916_800
    sum = sum * r + 1.0 / 3_628_800
    sum = sum * r + 1.0 / 362_880
    sum = sum * r + 1.0 / 40_320
    sum = sum * r + 1.0 / 5_040
    sum = sum * r + 1.0 / 720
    sum = sum * r + 1.0 / 120
    sum = sum * r + 1.0 / 24
    sum = sum * r + 1.0 / 6
    sum = sum * r + 0.5
    sum = sum * r + 1
    sum = sum * r + 1
    return sum * Double(bitPattern: UInt64(Int64(n) + 1023) << 52)
}
