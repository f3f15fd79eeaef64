// A sequence of operations that one call executes: values are numbered, 0 is the input, k the result of operation k.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "engine.hpp"

namespace mixq {

// How a value is stored; rows are known when the input is.
struct Storage {
    int64_t columns;
    int bits;
    bool is_signed;

    int64_t row_bytes() const { return (columns * bits + 7) / 8; }
};

class Pipeline {
   public:
    Pipeline(const Engine& engine, const BitSerial* bit_serial, Storage input);

    // Appends a product of value `source`, whose integers are step * u + offset. `layout` is null, or the weight's bits
    // as BitSerial::lay_out wrote them. With `row_scaled` the rescale's row scales are those of the input.
    void linear(int source, int32_t step, int32_t offset, const Matrix& weight, const uint8_t* layout,
                const Rescale& rescale, bool row_scaled);
    void aggregate(int source, int32_t step, int32_t offset, const Graph& graph, const Rescale& rescale);

    // Begins a join of values; add_part and add_term append to it, in their order.
    void join(const Join& join, int64_t columns);
    void add_part(const int64_t* bias, int shift);
    void add_term(int source, int32_t step, int32_t offset, const int64_t* multiplier, bool per_column);

    // Executes all operations, the last of which writes to `out`. Returns 0, or the number of the operation whose graph
    // names a row that does not exist, or that number below 0 if the values of a join have different numbers of rows. What
    // `out` holds then means nothing.
    int run(const uint8_t* input, int64_t rows, const int32_t* row_scales, uint8_t* out, int threads);

    // Rows of a value, for an input of `rows` rows.
    int64_t rows_of(int value, int64_t rows) const { return places(rows, nullptr)[value].rows; }
    const Storage& result() const { return values_.back(); }

    // Bytes of memory that intermediate results take for an input of `rows` rows.
    int64_t memory(int64_t rows) const;

   private:
    enum class Kind { linear, aggregate, join };

    // A value that an operation reads, and the integers that its codes stand for.
    struct Source {
        int value;
        int32_t step, offset;
    };

    struct Operation {
        Kind kind;
        std::vector<Source> sources;
        Matrix weight{};                  // of a product
        const uint8_t* layout = nullptr;  // of a product by bits
        Graph graph{};                    // of an aggregation
        Rescale rescale{};                // of both
        bool row_scaled = false;
        Join join{};
        std::vector<Part> parts{};  // of a join; its terms have no memory before it is executed
        std::vector<Term> terms{};
    };

    struct Place {
        int64_t begin, rows;
    };

    // Memory that begins at a large page, and is kept between calls.
    struct Arena {
        ~Arena();
        void reserve(int64_t bytes);
        // Gives pages at the end back to the system, `bytes` of them if so many lie behind the first `used` bytes. They
        // can be written to again, at the price of their faults.
        void give_back_last(int64_t bytes, int64_t used);
        uint8_t* data = nullptr;
        int64_t size = 0;
    };

    Matrix matrix(const Source& source, const std::vector<Place>& places, const uint8_t* input,
                  const uint8_t* arena) const;
    // Gives back as much idle memory as a large last result takes, so that both together do not exceed what the
    // intermediate results took at most.
    void make_room(Arena* arena, const std::vector<Place>& places) const;
    void execute_join(const Operation& operation, const std::vector<Place>& places, const uint8_t* input,
                      const uint8_t* arena, const Output& out, int threads) const;
    std::vector<Place> places(int64_t rows, int64_t* bytes) const;

    const Engine& engine_;
    const BitSerial* bit_serial_;
    std::vector<Storage> values_;
    std::vector<Operation> operations_;
    Arena arena_;
    std::mutex in_use_;
};

}  // namespace mixq
