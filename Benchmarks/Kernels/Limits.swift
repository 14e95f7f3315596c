import Benchmark

/// What a product reaches of what all threads together can do.
extension MachineLimits {
    var summary: String {
        "reads \(gigas(readBandwidth)) GB/s and multiplies \(gigas(multiplyAddRate)) G int8 pairs a second"
    }

    func share(ofBandwidth value: Double) -> String {
        "\(gigas(value)) GB/s, \(percent(value / readBandwidth)) of the bandwidth"
    }

    func share(ofPeak value: Double) -> String {
        "\(gigas(value)) G/s, \(percent(value / multiplyAddRate)) of the peak"
    }

    private func gigas(_ value: Double) -> String { "\((value / 1e8).rounded() / 10)" }
    private func percent(_ value: Double) -> String { "\(Int((value * 100).rounded())) %" }
}
