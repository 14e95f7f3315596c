import Container
import Quantizer

extension ImportanceMatrix {
    /// The matrix that `--imatrix` names; nil without one. What it doesn't know of is told, because it is quantised as if
    /// all columns mattered alike.
    static func read(_ path: String?, for model: ModelConfiguration) throws -> ImportanceMatrix? {
        guard let path else { return nil }
        let matrix = try ImportanceMatrix(path: path)
        try matrix.check(against: model, path: path)
        for key in matrix.missing(from: model) { Terminal.complain("warning: \(path) has nothing for \(key)") }
        for key in matrix.silentExperts {
            Terminal.complain("warning: \(key) never fired in calibration and gets its layer's mean importance")
        }
        return matrix
    }
}
