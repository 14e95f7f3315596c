import Glibc

/// A mean and how sure it is.
package struct Estimate: Sendable, Equatable, Codable {
    package var value: Double
    /// Of the mean, as if the samples were independent.
    package var standardError: Double

    package init(value: Double, standardError: Double) {
        self.value = value
        self.standardError = standardError
    }

    /// The mean of samples; the error is 0 for fewer than two.
    init(meanOf samples: [Double]) {
        let count = Double(max(samples.count, 1))
        let mean = samples.reduce(0, +) / count
        let squares = samples.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        self.init(
            value: mean,
            standardError: samples.count > 1 ? (squares / (count - 1) / count).squareRoot() : 0)
    }

    /// exp of a mean, its error to first order.
    var exponential: Estimate {
        let value = exp(value)
        return Estimate(value: value, standardError: value * standardError)
    }
}

/// The value below which a share of the samples lies, between the two nearest samples.
func quantile(_ share: Double, of sorted: [Double]) -> Double {
    guard let last = sorted.last else { return 0 }
    let place = share * Double(sorted.count - 1)
    let index = Int(place)
    guard index + 1 < sorted.count else { return last }
    return sorted[index] + (sorted[index + 1] - sorted[index]) * (place - Double(index))
}
