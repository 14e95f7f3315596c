/// What becomes of the matches of a pattern and of the text between them.
enum SplitBehavior: String, Sendable {
    /// Matches are pieces, and so is what lies between.
    case isolated = "Isolated"
    /// Matches go.
    case removed = "Removed"
    /// Neighbours that both match are one piece.
    case contiguous = "Contiguous"
    /// A match belongs to the text before it, unless that is a match too.
    case mergedWithPrevious = "MergedWithPrevious"
    /// A match belongs to the text after it, unless that is a match too.
    case mergedWithNext = "MergedWithNext"

    var placement: Placement { Placement(behavior: self) }

    /// Puts the parts of one piece, in order, into a list of pieces.
    struct Placement {
        let behavior: SplitBehavior
        /// Whether the part before was a match; nil at the beginning.
        private var wasMatch: Bool?

        init(behavior: SplitBehavior) { self.behavior = behavior }

        mutating func append(_ part: Range<Int>, isMatch: Bool, to pieces: inout [Range<Int>]) {
            let joins =
                switch behavior {
                case .isolated, .removed: false
                case .contiguous: wasMatch == isMatch
                case .mergedWithPrevious: isMatch && wasMatch == false
                case .mergedWithNext: !isMatch && wasMatch == true
                }
            wasMatch = isMatch
            if joins {
                pieces[pieces.count - 1] = pieces[pieces.count - 1].lowerBound..<part.upperBound
            } else if behavior != .removed || !isMatch {
                pieces.append(part)
            }
        }
    }
}
