extension JinjaInterpreter {
    func negative(_ value: TemplateValue) throws(JinjaError) -> TemplateValue {
        if let integer = value.asInteger { return .integer(0 &- integer) }
        guard let number = value.asNumber else { throw JinjaError(.runtime, "\(value.kind) has no negative") }
        return .number(-number)
    }

    func calculate(
        _ operation: JinjaOperator, _ left: TemplateValue, _ right: TemplateValue
    ) throws(JinjaError) -> TemplateValue {
        if operation == .concatenate { return try joined(printed(left), printed(right)) }
        switch (left, right) {
        case (.text(let left), .text(let right)) where operation == .add: return try joined(left, right)
        case (.list(let left), .list(let right)) where operation == .add:
            try spend(left.count + right.count)
            return .list(left + right)
        case (.text(let text), .integer(let count)) where operation == .multiply,
            (.integer(let count), .text(let text)) where operation == .multiply:
            let (size, overflow) = text.units.count.multipliedReportingOverflow(by: max(0, count))
            try spend(overflow ? .max / 2 : size)
            return .text(MarkedText(units: Array(repeatElement(text.units, count: max(0, count)).joined())))
        default: break
        }
        if let left = left.asInteger, let right = right.asInteger, let result = try integer(operation, left, right) {
            return .integer(result)
        }
        guard let leftNumber = left.asNumber, let rightNumber = right.asNumber else {
            throw JinjaError(.runtime, "\(left.kind) \(operation.rawValue) \(right.kind) has no result")
        }
        return .number(try number(operation, leftNumber, rightNumber))
    }

    private func joined(_ left: MarkedText, _ right: MarkedText) throws(JinjaError) -> TemplateValue {
        try spend(left.units.count + right.units.count)
        return .text(left + right)
    }

    /// nil if the result isn't an integer in Python either.
    private func integer(_ operation: JinjaOperator, _ left: Int, _ right: Int) throws(JinjaError) -> Int? {
        let result: (partialValue: Int, overflow: Bool)
        switch operation {
        case .add: result = left.addingReportingOverflow(right)
        case .subtract: result = left.subtractingReportingOverflow(right)
        case .multiply: result = left.multipliedReportingOverflow(by: right)
        case .floorDivide, .modulo:
            guard right != 0 else { throw JinjaError(.runtime, "division by zero") }
            let quotient = left.dividedReportingOverflow(by: right)
            let remainder = left.remainderReportingOverflow(dividingBy: right)
            // Python rounds towards minus infinity; the remainder has the divisor's sign.
            let isBelow = remainder.partialValue != 0 && (remainder.partialValue < 0) != (right < 0)
            if operation == .modulo { return remainder.partialValue + (isBelow ? right : 0) }
            result = (quotient.partialValue - (isBelow ? 1 : 0), quotient.overflow)
        case .power:
            guard right >= 0 else { return nil }
            result = try power(left, right)
        case .divide, .concatenate: return nil
        }
        guard !result.overflow else {
            throw JinjaError(.runtime, "\(left) \(operation.rawValue) \(right) is too large")
        }
        return result.partialValue
    }

    private func power(_ base: Int, _ exponent: Int) throws(JinjaError) -> (partialValue: Int, overflow: Bool) {
        var result = (partialValue: 1, overflow: false)
        if base.magnitude <= 1 { return (base == -1 ? (exponent % 2 == 0 ? 1 : -1) : exponent == 0 ? 1 : base, false) }
        for _ in 0..<min(exponent, Int.bitWidth) {
            result = result.partialValue.multipliedReportingOverflow(by: base)
            if result.overflow { return result }
        }
        return exponent > Int.bitWidth ? (0, true) : result
    }

    private func number(_ operation: JinjaOperator, _ left: Double, _ right: Double) throws(JinjaError) -> Double {
        switch operation {
        case .add: return left + right
        case .subtract: return left - right
        case .multiply: return left * right
        case .divide, .floorDivide, .modulo:
            guard right != 0 else { throw JinjaError(.runtime, "division by zero") }
            if operation == .divide { return left / right }
            let quotient = (left / right).rounded(.down)
            return operation == .floorDivide ? quotient : left - quotient * right
        case .power, .concatenate: throw JinjaError(.runtime, "a power of a fraction isn't supported")
        }
    }
}

extension TemplateValue {
    func compares(_ comparison: JinjaComparison, _ right: TemplateValue) throws(JinjaError) -> Bool {
        switch comparison {
        case .equal: self == right
        case .notEqual: self != right
        case .less: try precedes(right)
        case .greater: try right.precedes(self)
        case .lessOrEqual: try !right.precedes(self)
        case .greaterOrEqual: try !precedes(right)
        case .isIn: try isContained(in: right)
        case .isNotIn: try !isContained(in: right)
        }
    }

    /// `self < other`, for numbers and for texts.
    func precedes(_ other: TemplateValue) throws(JinjaError) -> Bool {
        if let left = asInteger, let right = other.asInteger { return left < right }
        if let left = asNumber, let right = other.asNumber { return left < right }
        if let left = asText, let right = other.asText { return left < right }
        throw JinjaError(.runtime, "\(kind) and \(other.kind) have no order")
    }

    private func isContained(in whole: TemplateValue) throws(JinjaError) -> Bool {
        switch whole {
        case .undefined: return false
        case .list(let items): return items.contains(self)
        case .mapping(let mapping): return TemplateMapping.Key(self).flatMap { mapping[$0] } != nil
        case .text(let text):
            guard case .text(let part) = self else {
                throw JinjaError(.runtime, "\(kind) can't be in a text")
            }
            return text.firstIndex(of: part) != nil
        case .object(let object):
            guard case .namespace(let members) = object.kind else { return false }
            return TemplateMapping.Key(self).flatMap { members[$0] } != nil
        default: throw JinjaError(.runtime, "nothing is in \(whole.kind)")
        }
    }
}
