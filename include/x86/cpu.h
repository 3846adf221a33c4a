/*
 * What the CPU is and can do. CPUID, CR4, EFER and the TSC exist only on some CPUs; everything
 * that touches them asks here first.
 */
#ifndef X86_CPU_H
#define X86_CPU_H

#include <types.h>
#include <x86/tsc_rate.h>

#define CR0_WP   (1u << 16) /* read-only pages hold for the kernel too */
#define CR0_NW   (1u << 29) /* not write-through */
#define CR0_CD   (1u << 30) /* cache disable */
#define CR0_PG   (1u << 31)

#define CR4_PSE  (1u << 4)
#define CR4_UMIP (1u << 11)
#define CR4_SMEP (1u << 20)
#define CR4_SMAP (1u << 21)

struct cpu {
    bool has_cpuid;
    bool has_cr4;
    bool has_tsc;
    bool has_msr;
    bool has_apic; /* a local APIC that firmware has not turned off */
    bool has_pse;
    bool has_pse36;
    bool has_pat;
    bool has_efer;
    bool has_rdrand;
    bool smep, smap, umip;          /* turned on */
    uint32_t physical_address_bits; /* 32 where the CPU does not say */
    uint32_t family, model, stepping;
    char vendor[13];
    char brand[49]; /* empty where the CPU has none */
};

extern struct cpu cpu;

/*
 * The page attribute table: the reset values, but that entry 1 (PWT alone) is write-combining in
 * place of write-through.
 */
#define PAT_VALUE 0x0007040600070106ull

/*
 * Finds out what the CPU is, clears what firmware left in CR4 and EFER, turns on SMEP, SMAP, UMIP
 * and PSE where they exist, and sets the PAT. Paging and interrupts must be off. Sources: Intel SDM
 * vol 2, "CPUID - CPU Identification"; vol 3, "Control Registers", "Programming the PAT".
 */
void cpu_init(void);

/* The PAT as it is now; only where cpu.has_pat. */
uint64_t cpu_read_pat(void);

/* The time stamp counter; 0 on CPUs without one. */
uint64_t cpu_tsc(void);

/* What CPUID says of its frequency. */
struct tsc_leaves cpu_tsc_leaves(void);

/* A model-specific register that this CPU is known to have: any other raises an exception. */
uint64_t cpu_read_msr(uint32_t msr);
void cpu_write_msr(uint32_t msr, uint64_t value);

uint32_t cpu_read_cr0(void);
uint32_t cpu_read_cr2(void);
uint32_t cpu_read_cr3(void);
uint32_t cpu_read_cr4(void); /* 0 where there is no CR4 */

#endif
