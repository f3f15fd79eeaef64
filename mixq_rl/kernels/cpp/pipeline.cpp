// Execution of a pipeline, and the memory of its intermediate results.
#include "pipeline.hpp"

#include <algorithm>
#include <cstdlib>
#include <new>

#include "pages.hpp"

namespace mixq {
namespace {

constexpr int64_t kLine = 64;
constexpr int64_t kPage = 2 << 20;           // a large page
constexpr int64_t kLargeResult = 16 << 20;  // from which memory is made room for: see Pipeline::make_room

int64_t rounded(int64_t bytes, int64_t to) { return (bytes + to - 1) / to * to; }

// Ranges of an arena that are in use; the first gap that is large enough is taken.
class Ranges {
   public:
    int64_t take(int64_t bytes) {
        int64_t begin = 0;
        auto place = taken_.begin();
        for (; place != taken_.end() && place->begin - begin < bytes; ++place) begin = place->end;
        taken_.insert(place, {begin, begin + bytes});
        peak = std::max(peak, begin + bytes);
        return begin;
    }

    void give_back(int64_t begin) {
        taken_.erase(std::find_if(taken_.begin(), taken_.end(), [&](const Range& each) { return each.begin == begin; }));
    }

    int64_t peak = 0;

   private:
    struct Range {
        int64_t begin, end;
    };
    std::vector<Range> taken_;
};

}  // namespace

Pipeline::Arena::~Arena() {
    if (data != nullptr) ::operator delete(data, std::align_val_t(kPage));
}

void Pipeline::Arena::reserve(int64_t bytes) {
    if (bytes <= size) return;
    if (data != nullptr) ::operator delete(data, std::align_val_t(kPage));
    data = nullptr;
    size = 0;
    const int64_t whole = rounded(bytes, bytes < kPage ? kLine : kPage);
    data = static_cast<uint8_t*>(::operator new(static_cast<size_t>(whole), std::align_val_t(kPage)));
    size = whole;
    prefer_large_pages(data, static_cast<size_t>(whole));  // rows that are gathered miss fewer translations, too
}

void Pipeline::Arena::give_back_last(int64_t bytes, int64_t used) {
    const int64_t end = size / kPage * kPage;  // the last page may hold what is not the arena's
    const int64_t begin = std::max(rounded(used, kPage), end - rounded(bytes, kPage));
    if (begin < end) give_back_pages(data + begin, static_cast<size_t>(end - begin));
}

Pipeline::Pipeline(const Engine& engine, const BitSerial* bit_serial, Storage input)
    : engine_(engine), bit_serial_(bit_serial), values_{input} {}

void Pipeline::linear(int source, int32_t step, int32_t offset, const Matrix& weight, const uint8_t* layout,
                      const Rescale& rescale, bool row_scaled) {
    Operation operation{Kind::linear, {{source, step, offset}}};
    operation.weight = weight;
    operation.layout = layout;
    operation.rescale = rescale;
    operation.row_scaled = row_scaled;
    operations_.push_back(operation);
    values_.push_back({weight.columns, rescale.storage_bits, rescale.minimum < 0});
}

void Pipeline::aggregate(int source, int32_t step, int32_t offset, const Graph& graph, const Rescale& rescale) {
    Operation operation{Kind::aggregate, {{source, step, offset}}};
    operation.graph = graph;
    operation.rescale = rescale;
    operations_.push_back(operation);
    values_.push_back({values_[source].columns, rescale.storage_bits, rescale.minimum < 0});
}

void Pipeline::join(const Join& join, int64_t columns) {
    Operation operation{Kind::join, {}};
    operation.join = join;
    operations_.push_back(operation);
    values_.push_back({columns, join.storage_bits, join.minimum < 0});
}

void Pipeline::add_part(const int64_t* bias, int shift) { operations_.back().parts.push_back({nullptr, 0, bias, shift}); }

void Pipeline::add_term(int source, int32_t step, int32_t offset, const int64_t* multiplier, bool per_column) {
    Operation& operation = operations_.back();
    operation.sources.push_back({source, step, offset});
    operation.terms.push_back({{}, multiplier, per_column});
    ++operation.parts.back().count;
}

int64_t Pipeline::memory(int64_t rows) const {
    int64_t bytes = 0;
    places(rows, &bytes);
    return bytes;
}

std::vector<Pipeline::Place> Pipeline::places(int64_t rows, int64_t* bytes) const {
    const size_t count = operations_.size();
    std::vector<size_t> last_use(count + 1, 0);
    for (size_t k = 1; k <= count; ++k) {
        for (const Source& source : operations_[k - 1].sources) last_use[source.value] = k;
    }
    std::vector<Place> places{{0, rows}};
    Ranges ranges;
    for (size_t k = 1; k <= count; ++k) {
        const Operation& operation = operations_[k - 1];
        const int64_t own = operation.kind == Kind::aggregate ? operation.graph.rows : places[operation.sources[0].value].rows;
        const bool in_arena = k < count;
        // A line to spare: rows may be read up to the end of the vector that their last byte is in.
        const int64_t needed = rounded(own * values_[k].row_bytes() + 1, kLine);
        places.push_back({in_arena ? ranges.take(needed) : 0, own});
        for (size_t value = 1; value < k; ++value) {
            if (last_use[value] == k) ranges.give_back(places[value].begin);
        }
        if (in_arena && last_use[k] == 0) ranges.give_back(places[k].begin);  // nothing takes the result
    }
    if (bytes != nullptr) *bytes = ranges.peak;
    return places;
}

Matrix Pipeline::matrix(const Source& source, const std::vector<Place>& places, const uint8_t* input,
                        const uint8_t* arena) const {
    const Storage& taken = values_[source.value];
    const Place& place = places[source.value];
    return {source.value == 0 ? input : arena + place.begin, place.rows,  taken.columns, taken.row_bytes(), taken.bits,
            taken.is_signed && taken.bits == 8,              source.step, source.offset};
}

void Pipeline::execute_join(const Operation& operation, const std::vector<Place>& places, const uint8_t* input,
                            const uint8_t* arena, const Output& out, int threads) const {
    std::vector<Term> terms = operation.terms;
    for (size_t t = 0; t < terms.size(); ++t) terms[t].x = matrix(operation.sources[t], places, input, arena);
    std::vector<Part> parts = operation.parts;
    const Term* next = terms.data();
    for (Part& part : parts) {
        part.terms = next;
        next += part.count;
    }
    Join join = operation.join;
    join.parts = parts.data();
    join.count = static_cast<int>(parts.size());
    engine_.join(join, out, terms[0].x.rows, threads);
}

void Pipeline::make_room(Arena* arena, const std::vector<Place>& places) const {
    const int64_t needed = places.back().rows * values_.back().row_bytes();
    if (needed < kLargeResult) return;
    int64_t used = 0;
    for (const Source& source : operations_.back().sources) {
        if (source.value == 0) continue;
        const Place& place = places[source.value];
        used = std::max(used, place.begin + place.rows * values_[source.value].row_bytes());
    }
    arena->give_back_last(needed, used);
}

int Pipeline::run(const uint8_t* input, int64_t rows, const int32_t* row_scales, uint8_t* out, int threads) {
    int64_t bytes = 0;
    const std::vector<Place> at = places(rows, &bytes);
    Arena temporary;  // for a second thread that calls while the first one's call runs
    std::unique_lock<std::mutex> lock(in_use_, std::try_to_lock);
    Arena& arena = lock.owns_lock() ? arena_ : temporary;
    arena.reserve(bytes);
    for (size_t k = 1; k <= operations_.size(); ++k) {
        const Operation& operation = operations_[k - 1];
        uint8_t* target = k == operations_.size() ? out : arena.data + at[k].begin;
        if (k == operations_.size()) make_room(&arena, at);
        if (operation.kind == Kind::join) {
            for (const Source& source : operation.sources) {
                if (at[source.value].rows != at[k].rows) return -static_cast<int>(k);
            }
            execute_join(operation, at, input, arena.data, {target, values_[k].row_bytes(), nullptr}, threads);
            continue;
        }
        const Matrix x = matrix(operation.sources[0], at, input, arena.data);
        Rescale rescale = operation.rescale;
        if (operation.row_scaled) rescale.row = row_scales;
        const Output output{target, values_[k].row_bytes(), &rescale};
        if (operation.kind == Kind::aggregate) {
            if (!engine_.aggregate(operation.graph, x, output, threads)) return static_cast<int>(k);
        } else if (operation.layout != nullptr) {
            bit_serial_->linear(x, operation.weight, operation.layout, output, threads);
        } else {
            engine_.linear(x, operation.weight, output, threads);
        }
    }
    return 0;
}

}  // namespace mixq
