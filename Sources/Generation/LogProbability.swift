import Glibc

/// How likely the model found a token: the softmax of its own logits, before penalties and temperature.
package struct TokenLogProbability: Sendable, Equatable {
    package let token: Int32
    /// The token's bytes, which need not be whole characters.
    package let bytes: [UInt8]
    /// Natural logarithm.
    package let logProbability: Double
    /// The likeliest tokens, in falling order, as many as were asked for.
    package let alternatives: [Alternative]

    package struct Alternative: Sendable, Equatable {
        package let token: Int32
        package let bytes: [UInt8]
        package let logProbability: Double
    }

    package static let mostAlternatives = 20
}

/// The logarithm of Σ e^logit. The logits have been found to be numbers.
func logSumExp(_ logits: Span<Float>) -> Double {
    var largest = -Float.infinity
    for id in logits.indices { largest = max(largest, logits[id]) }
    var sum = 0.0
    for id in logits.indices { sum += exponential(Double(logits[id]) - Double(largest)) }
    return Double(largest) + log(sum)
}

/// The ids of the `count` largest logits in falling order, the lower id first among equals.
func likeliest(_ count: Int, in logits: Span<Float>) -> [Int32] {
    var best: [Int32] = []
    best.reserveCapacity(count + 1)
    for id in logits.indices {
        if best.count == count {
            guard let last = best.last, logits[id] > logits[Int(last)] else { continue }
        }
        let place = best.firstIndex { logits[id] > logits[Int($0)] } ?? best.count
        best.insert(Int32(id), at: place)
        if best.count > count { best.removeLast() }
    }
    return best
}
