/// One benchmark's ratio beside the threshold that is committed for it. Ratios, because they hold on fast machines and on
/// slow ones.
package struct Verdict {
    package enum Threshold {
        case atLeast(Double)
        case atMost(Double)
    }

    package let name: String
    package let ratio: Double
    /// What is divided by what.
    package let meaning: String
    package let threshold: Threshold

    package init(name: String, ratio: Double, meaning: String, threshold: Threshold) {
        self.name = name
        self.ratio = ratio
        self.meaning = meaning
        self.threshold = threshold
    }

    package var holds: Bool {
        switch threshold {
        case .atLeast(let bound): ratio >= bound
        case .atMost(let bound): ratio <= bound
        }
    }

    package var line: String {
        let bound =
            switch threshold {
            case .atLeast(let bound): "at least \(bound)"
            case .atMost(let bound): "at most \(bound)"
            }
        let digits = (ratio * 1000).rounded() / 1000
        return "\(holds ? "ok  " : "FAIL")  \(name): \(digits) \(meaning) (\(bound))"
    }
}
