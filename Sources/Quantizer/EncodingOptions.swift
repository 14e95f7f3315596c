/// What `--method` asks for.
package enum QuantizationMethod: String, Sendable, CaseIterable {
    /// Rounding to nearest: linear codes, the largest magnitude / 7 or / 127. For comparison.
    case rtn
    /// The code table and the scales of least squared error.
    case search
    /// Every column also makes up for the errors of those before it, by the second moments of the inputs.
    case gptq
}

/// How the matrices of a model are quantised, whatever their formats.
package struct EncodingOptions: Sendable {
    package var method: QuantizationMethod
    /// Makes the errors count by the inputs' second moments.
    package var importance: ImportanceMatrix?

    package init(method: QuantizationMethod = .search, importance: ImportanceMatrix? = nil) {
        self.method = method
        self.importance = importance
    }
}
