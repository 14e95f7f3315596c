/// ‖x − reference‖₂ / ‖reference‖₂; infinite if a value is missing or isn't a number.
package func relativeError(_ values: some Collection<Float>, _ reference: some Collection<Float>) -> Double {
    guard values.count == reference.count else { return .infinity }
    var difference = 0.0
    var norm = 0.0
    for (value, expected) in zip(values, reference) {
        difference += (Double(value) - Double(expected)) * (Double(value) - Double(expected))
        norm += Double(expected) * Double(expected)
    }
    let result = (difference / norm).squareRoot()
    return result.isNaN ? .infinity : result
}
