/// The durations of one measurement's repetitions.
package struct Sample: Sendable, Codable, Equatable {
    /// Seconds, in the order in which they were measured.
    package let seconds: [Double]

    /// - Precondition: at least one duration.
    package init(seconds: [Double]) {
        precondition(!seconds.isEmpty, "a sample has at least one duration")
        self.seconds = seconds
    }

    /// The middle one; of an even number the mean of the two in the middle.
    package var median: Double {
        let sorted = seconds.sorted()
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }

    package var shortest: Double { seconds.min() ?? 0 }
    package var longest: Double { seconds.max() ?? 0 }
}
