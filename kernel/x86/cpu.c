/*
 * CPU identification, and the control registers that only some CPUs have.
 */
#include <x86/cpu.h>
#include <x86/io.h>
#include <lib/string.h>

#define EFLAGS_ID        (1u << 21) /* can be toggled exactly where CPUID exists */

#define MSR_PAT          0x277u
#define MSR_EFER         0xc0000080u

/* CPUID leaf 1, EDX. */
#define CPUID_PSE        (1u << 3)
#define CPUID_TSC        (1u << 4)
#define CPUID_MSR        (1u << 5)
#define CPUID_APIC       (1u << 9)
#define CPUID_PAT        (1u << 16)
#define CPUID_PSE36      (1u << 17)

/* CPUID leaf 1, ECX. */
#define CPUID_RDRAND     (1u << 30)

/* CPUID leaf 7. */
#define CPUID_7_EBX_SMEP (1u << 7)
#define CPUID_7_EBX_SMAP (1u << 20)
#define CPUID_7_ECX_UMIP (1u << 2)

#define CPUID_TSC_RATIO  0x15u
#define CPUID_FREQUENCY  0x16u

/* CPUID leaf 0x80000001, EDX: each of these three lives in EFER. */
#define CPUID_SYSCALL    (1u << 11)
#define CPUID_NX         (1u << 20)
#define CPUID_LM         (1u << 29)

struct cpu cpu;

struct cpuid {
    uint32_t eax, ebx, ecx, edx;
};

static struct cpuid cpuid(uint32_t leaf)
{
    struct cpuid r;
    __asm__ volatile("cpuid"
                     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf), "c"(0));
    return r;
}

static bool cpuid_exists(void)
{
    uint32_t before, after;
    __asm__ volatile("pushfl\n\t"
                     "popl %0\n\t"
                     "movl %0, %1\n\t"
                     "xorl %2, %1\n\t"
                     "pushl %1\n\t"
                     "popfl\n\t"
                     "pushfl\n\t"
                     "popl %1\n\t"
                     "pushl %0\n\t"
                     "popfl"
                     : "=&r"(before), "=&r"(after)
                     : "i"(EFLAGS_ID)
                     : "cc");
    return ((before ^ after) & EFLAGS_ID) != 0;
}

uint64_t cpu_tsc(void)
{
    return cpu.has_tsc ? rdtsc() : 0;
}

uint32_t cpu_read_cr0(void)
{
    uint32_t value;
    __asm__ volatile("movl %%cr0, %0" : "=r"(value));
    return value;
}

uint32_t cpu_read_cr2(void)
{
    uint32_t value;
    __asm__ volatile("movl %%cr2, %0" : "=r"(value));
    return value;
}

uint32_t cpu_read_cr3(void)
{
    uint32_t value;
    __asm__ volatile("movl %%cr3, %0" : "=r"(value));
    return value;
}

uint32_t cpu_read_cr4(void)
{
    uint32_t value = 0;
    if (cpu.has_cr4)
        __asm__ volatile("movl %%cr4, %0" : "=r"(value));
    return value;
}

static void write_cr0(uint32_t value)
{
    __asm__ volatile("movl %0, %%cr0" : : "r"(value) : "memory");
}

static void write_cr4(uint32_t value)
{
    __asm__ volatile("movl %0, %%cr4" : : "r"(value) : "memory");
}

uint64_t cpu_read_msr(uint32_t msr)
{
    uint64_t value;
    __asm__ volatile("rdmsr" : "=A"(value) : "c"(msr) : "memory");
    return value;
}

void cpu_write_msr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "A"(value) : "memory");
}

static void write_back_caches(void)
{
    __asm__ volatile("wbinvd" : : : "memory");
}

uint64_t cpu_read_pat(void)
{
    return cpu_read_msr(MSR_PAT);
}

/*
 * In the order that the manual gives for changes of memory types: caches off and empty before and
 * after. The TLB is empty, for paging is off.
 */
static void set_pat(void)
{
    uint32_t cr0 = cpu_read_cr0();

    write_cr0((cr0 | CR0_CD) & ~CR0_NW);
    write_back_caches();
    cpu_write_msr(MSR_PAT, PAT_VALUE);
    write_back_caches();
    write_cr0(cr0);
}

struct tsc_leaves cpu_tsc_leaves(void)
{
    struct tsc_leaves leaves = { 0 };
    uint32_t max = cpu.has_cpuid ? cpuid(0).eax : 0;

    if (max >= CPUID_TSC_RATIO) {
        struct cpuid r = cpuid(CPUID_TSC_RATIO);
        leaves.denominator = r.eax;
        leaves.numerator = r.ebx;
        leaves.crystal_hz = r.ecx;
    }
    if (max >= CPUID_FREQUENCY)
        leaves.base_mhz = cpuid(CPUID_FREQUENCY).eax & 0xffff;
    return leaves;
}

static void identify_version(uint32_t signature)
{
    cpu.stepping = signature & 0xf;
    cpu.model = signature >> 4 & 0xf;
    cpu.family = signature >> 8 & 0xf;
    if (cpu.family == 6 || cpu.family == 15)
        cpu.model |= signature >> 12 & 0xf0;
    if (cpu.family == 15)
        cpu.family += signature >> 20 & 0xff;
}

static void identify_extended(void)
{
    uint32_t max = cpuid(0x80000000).eax;

    if (cpu.has_pse36)
        cpu.physical_address_bits = 36; /* unless the CPU says otherwise */
    if (max < 0x80000000 || max > 0x8000ffff)
        return; /* the CPU has no extended leaves and answers with something else */

    if (max >= 0x80000001)
        cpu.has_efer =
            cpu.has_msr && (cpuid(0x80000001).edx & (CPUID_SYSCALL | CPUID_NX | CPUID_LM)) != 0;
    if (max >= 0x80000004) {
        for (uint32_t i = 0; i < 3; i++) {
            struct cpuid r = cpuid(0x80000002 + i);
            memcpy(cpu.brand + 16 * i, &r, 16);
        }
    }
    if (max >= 0x80000008)
        cpu.physical_address_bits = cpuid(0x80000008).eax & 0xff;
}

static void identify(void)
{
    cpu.physical_address_bits = 32;
    cpu.has_cpuid = cpuid_exists();
    if (!cpu.has_cpuid) {
        cpu.family = 4; /* a 386 cannot run this kernel: INVLPG came with the 486 */
        return;
    }

    struct cpuid r = cpuid(0);
    uint32_t max = r.eax;
    memcpy(cpu.vendor, &r.ebx, 4);
    memcpy(cpu.vendor + 4, &r.edx, 4);
    memcpy(cpu.vendor + 8, &r.ecx, 4);
    if (max < 1)
        return;

    r = cpuid(1);
    identify_version(r.eax);
    cpu.has_pse = r.edx & CPUID_PSE;
    cpu.has_tsc = r.edx & CPUID_TSC;
    cpu.has_msr = r.edx & CPUID_MSR;
    cpu.has_pat = cpu.has_msr && (r.edx & CPUID_PAT);
    cpu.has_apic = r.edx & CPUID_APIC;
    cpu.has_rdrand = r.ecx & CPUID_RDRAND;
    cpu.has_pse36 = cpu.has_pse && (r.edx & CPUID_PSE36);

    /* CR4 came with the features that it switches; a CPU with none of these may lack it. */
    cpu.has_cr4 = cpu.family >= 5 || cpu.has_pse || cpu.has_tsc;

    if (max >= 7 && cpu.has_cr4) {
        r = cpuid(7);
        cpu.smep = r.ebx & CPUID_7_EBX_SMEP;
        cpu.smap = r.ebx & CPUID_7_EBX_SMAP;
        cpu.umip = r.ecx & CPUID_7_ECX_UMIP;
    }
    identify_extended();
}

void cpu_init(void)
{
    identify();
    if (cpu.has_cr4)
        write_cr4((cpu.has_pse ? CR4_PSE : 0) | (cpu.smep ? CR4_SMEP : 0) |
                  (cpu.smap ? CR4_SMAP : 0) | (cpu.umip ? CR4_UMIP : 0));
    if (cpu.has_efer)
        cpu_write_msr(MSR_EFER, 0);
    if (cpu.has_pat)
        set_pat();
}
